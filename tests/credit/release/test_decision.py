"""A decision that is not what it must be is refused by every reader, with the name of the field."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from components.credit.book.store import MODEL_BUCKET, Store
from components.credit.config import Release, Rule, Target
from components.credit.errors import InputError, ModelRefused
from components.credit.release.decision import Decision, ReleaseTerms, TargetTerms, read_decision
from components.credit.release.registry import MANIFEST, Package, show
from components.credit.release.signing import new_key_pair, sign
from tests.decisions import decision

# Fields that a later stage reads, by their path in the decision.
READ = (
    "champion", "champion.version", "rule", "rule.policy", "rule.person_decides", "rule.policy.0.above", "release",
    "release.approval", "release.strategy", "data", "data.as_of", "data.features", "samples", "target.bad_days",
    "models", "models.scorecard.psi", "models.scorecard.auc", "reason",
)  # fmt: skip


def told() -> dict[str, Any]:
    """A decision with a rule, and with a section of the report, as JSON has it."""
    made = decision("scorecard", "0123456789ab", [Rule("debt", "debt", 2.0, "Too much debt", "Mucha deuda")])
    return {**msgspec.to_builtins(made), "segments": [{"by": "segment", "n": 3}]}


def _without(found: dict[str, Any], path: str, instead: str | None) -> dict[str, Any]:
    """The decision without a field, or with the field under another name."""
    *way, name = path.split(".")
    place: Any = found
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    value = place.pop(name)
    if instead:
        place[instead] = value
    return found


@pytest.fixture
def from_file(tmp_path: Path) -> Callable[[dict[str, Any]], Decision]:
    """Reads a decision as the deploy stage and ``quipu run`` do."""

    def read(document: dict[str, Any]) -> Decision:
        (tmp_path / "decision").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
        return read_decision(str(tmp_path / "decision"))

    return read


@pytest.fixture
def from_registry(store: Store) -> Callable[[dict[str, Any]], Decision]:
    """Reads a decision as the scorer, monitoring and a promotion do: from the signed manifest of a model."""
    private, public = new_key_pair()
    versions = iter(range(1000))

    def read(document: dict[str, Any]) -> Decision:
        version = f"{hashlib.sha256(public.encode()).hexdigest()[:8]}{next(versions):04}"
        package = Package(version, "scorecard", "2024-06-30", "test", "ab" * 32, {}, decision("scorecard", version))
        predicate = msgspec.to_builtins(package) | {"decision": document}
        statement = {"subject": [], "predicate": predicate}
        envelope = sign(msgspec.json.encode(statement), private)
        store.write_once(MODEL_BUCKET, f"models/{version}/{MANIFEST}", envelope)
        return show(store, version, public).decision

    return read


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("misspelt", [False, True], ids=["missing", "misspelt"])
def test_a_field_that_is_missing_or_misspelt_is_refused_with_its_name(
    from_file: Callable[..., Decision], from_registry: Callable[..., Decision], path: str, misspelt: bool
) -> None:
    name = path.rpartition(".")[2]
    for read, error, remedy in (
        (from_file, InputError, "run the evaluate stage again"),
        (from_registry, ModelRefused, "train the model again"),
    ):
        with pytest.raises(error, match=rf"{name}.*; {remedy}\.$") as refused:
            read(_without(told(), path, f"{name}_" if misspelt else None))
        assert "\n" not in str(refused.value)


def test_a_decision_comes_back_whole_with_the_sections_that_nobody_reads(
    from_file: Callable[..., Decision], from_registry: Callable[..., Decision]
) -> None:
    for read in (from_file, from_registry):
        found = read(told())
        assert found.rule.policy == [Rule("debt", "debt", 2.0, "Too much debt", "Mucha deuda")]
        assert msgspec.json.decode(msgspec.json.encode(found)) == told()


def test_a_file_that_is_no_decision_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "decision").write_bytes(b"{")
    with pytest.raises(InputError, match=r"is not one that this code reads .*; run the evaluate stage again"):
        read_decision(str(tmp_path / "decision"))


@pytest.mark.parametrize(("terms", "configured"), [(TargetTerms, Target), (ReleaseTerms, Release)])
def test_the_decision_states_each_setting_of_the_configuration(terms: Any, configured: Any) -> None:
    assert [field.name for field in structs.fields(terms)] == [field.name for field in structs.fields(configured)]
    assert all(field.required for field in structs.fields(terms)), "a default would hide what is missing"
