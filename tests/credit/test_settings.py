"""Settings from the environment, and what is said of those that make no sense."""

from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct, field

from components.credit.errors import InputError
from components.credit.settings import Secret, read_settings


class Settings(Struct, frozen=True):
    """Settings of each kind that a process has."""

    key: Secret = field(name="TEST_KEY")
    address: str = field(name="TEST_ADDRESS")
    port: Annotated[int, Meta(ge=1, le=65_535)] = field(name="TEST_PORT", default=80)
    rate: Annotated[float, Meta(ge=0)] | None = field(name="TEST_RATE", default=None)
    secure: bool = field(name="TEST_SECURE", default=False)
    auth: Literal["off"] | None = field(name="TEST_AUTH", default=None)


@pytest.fixture(autouse=True)
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "opensesame")
    monkeypatch.setenv("TEST_ADDRESS", "here")


def test_settings_that_are_empty_or_not_set_have_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PORT", "")
    monkeypatch.setenv("TEST_AUTH", " ")
    assert read_settings(Settings) == Settings("opensesame", "here", 80, None, False, None)


def test_settings_are_read_by_their_types(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    given = {"TEST_KEY_FILE": str(tmp_path / "key"), "TEST_PORT": "8080", "TEST_RATE": "0.5", "TEST_SECURE": "True"}
    for name, value in (given | {"TEST_AUTH": "off"}).items():
        monkeypatch.setenv(name, value)
    assert read_settings(Settings) == Settings("from a file", "here", 8080, 0.5, True, "off")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TEST_PORT", "80,5", "TEST_PORT is '80,5'; give a whole number from 1 to 65535."),
        ("TEST_PORT", "70000", "TEST_PORT is '70000'; give a whole number from 1 to 65535."),
        ("TEST_RATE", "-1", "TEST_RATE is '-1'; give a number from 0."),
        ("TEST_RATE", "nan", "TEST_RATE is 'nan'; give a number from 0."),
        ("TEST_SECURE", "yes", "TEST_SECURE is 'yes'; give true or false."),
        ("TEST_AUTH", "none", "TEST_AUTH is 'none'; give 'off'."),
        ("TEST_ADDRESS", "", "TEST_ADDRESS is not set; give it in the environment."),
        ("TEST_KEY_FILE", "/nowhere", "TEST_KEY_FILE names /nowhere, which cannot be read: No such file or directory."),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_with_what_fits(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        read_settings(Settings)
    assert str(caught.value) == sentence
