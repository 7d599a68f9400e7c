from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from components.credit.book.store import AUDIT_BUCKET, MODEL_BUCKET, Access, Store
from components.credit.errors import InputError, ModelRefused, StoreError
from components.credit.progress import Progress
from components.credit.release.registry import champion
from components.credit.release.signing import new_key_pair
from components.deploy.promotion import promote_run
from components.deploy.release import Release, release

Train = Callable[..., Any]
Keys = tuple[str, str]


@pytest.fixture
def wait(store: Store, train: Train, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Trains a model that waits in the registry under the id of a run."""

    def waiting(name: str, run: str, signing_key: str = keys[0]) -> Any:
        monkeypatch.setenv("QUIPU_SIGNING_KEY", signing_key)
        model = train(name)
        release(str(model.folder), model.decision, "registry", "abc", run, store, Progress("deploy"))
        return model

    return waiting


def promoted(run: str, store: Store, keys: Keys, by: str = "Rosa Quispe", target: str = "local") -> Release:
    return promote_run(run, by, "2026-10-31", "abc", target, keys[1], store, Progress("promote"))


def approvals(store: Store, version: str) -> list[dict[str, Any]]:
    found = [key for key in store.keys(AUDIT_BUCKET, "promotions/") if version in key]
    return [msgspec.json.decode(store.read(AUDIT_BUCKET, key)) for key in found]


def test_the_model_of_the_run_becomes_champion_and_the_audit_says_who_approved(
    store: Store, wait: Callable[..., Any], keys: Keys
) -> None:
    first, second = wait("first", "run-a"), wait("second", "run-b")
    promoted("run-a", store, keys)
    assert promoted("run-b", store, keys).previous == first.version
    pointer = champion(store)
    assert pointer is not None
    assert pointer.version == second.version
    (approval,) = approvals(store, second.version)
    assert approval["approved_by"] == "Rosa Quispe"
    assert approval["training_run"] == "run-b"
    assert approval["previous"] == first.version


def test_a_promotion_done_twice_is_done_once(store: Store, wait: Callable[..., Any], keys: Keys) -> None:
    model = wait("model", "run-c")
    once = promoted("run-c", store, keys)
    assert promoted("run-c", store, keys, by="Somebody Else") == once
    assert len(approvals(store, model.version)) == 1


def test_a_promotion_killed_before_the_pointer_moves_ends_right_when_run_again(
    access: Access, store: Store, wait: Callable[..., Any], keys: Keys
) -> None:
    class Dying(Store):
        def move_pointer(self, bucket: str, key: str, data: bytes, tag: str | None) -> bool:
            raise StoreError("killed")

    model = wait("model", "run-d")
    with pytest.raises(StoreError, match="killed"):
        promoted("run-d", Dying(access), keys)
    assert approvals(store, model.version), "no champion without an approval: it is written first"
    assert promoted("run-d", store, keys).version == model.version


def test_a_run_without_a_model_is_refused(store: Store, keys: Keys) -> None:
    with pytest.raises(ModelRefused, match="Run run-x has registered no model"):
        promoted("run-x", store, keys)
    with pytest.raises(InputError, match="id of the training run is not one"):
        promoted("../champion", store, keys)


def test_a_model_that_does_not_verify_is_refused_and_the_champion_stays(
    store: Store, wait: Callable[..., Any], keys: Keys, tmp_path: Path
) -> None:
    standing = wait("standing", "run-e")
    promoted("run-e", store, keys)
    altered = wait("altered", "run-f")
    (tmp_path / "other").write_bytes(b"{}")
    store.upload(MODEL_BUCKET, f"models/{altered.version}/model.json", tmp_path / "other")
    wait("forged", "run-g", new_key_pair()[0])
    for run in ("run-f", "run-g"):
        with pytest.raises(ModelRefused):
            promoted(run, store, keys)
    pointer = champion(store)
    assert pointer is not None
    assert pointer.version == standing.version


def test_a_promotion_that_nobody_approved_is_refused(store: Store, wait: Callable[..., Any], keys: Keys) -> None:
    wait("model", "run-h")
    for nobody in ("", "  ", "None"):
        with pytest.raises(InputError, match="Nobody is named"):
            promoted("run-h", store, keys, by=nobody)


def test_a_model_cannot_be_promoted_to_the_registry(store: Store, wait: Callable[..., Any], keys: Keys) -> None:
    wait("model", "run-i")
    with pytest.raises(InputError, match="'registry' is not known"):
        promoted("run-i", store, keys, target="registry")
