from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from components.credit.book.store import AUDIT_BUCKET, MODEL_BUCKET, Store
from components.credit.errors import GateStopped, InputError, ModelRefused
from components.credit.progress import Progress
from components.credit.release.decision import ReleaseTerms
from components.credit.release.registry import champion
from components.deploy.approval import approve
from components.deploy.promotion import roll_back
from components.deploy.release import Release, release

Train = Callable[..., Any]
Keys = tuple[str, str]


@pytest.fixture(autouse=True)
def _signing_key(monkeypatch: pytest.MonkeyPatch, keys: Keys) -> None:
    monkeypatch.setenv("QUIPU_SIGNING_KEY", keys[0])


def released(model: Any, store: Store, approval: bool) -> Release:
    decision = structs.replace(model.decision, release=ReleaseTerms(approval, "blue_green"))
    return release(str(model.folder), decision, "local", "abc", model.version, store, Progress("deploy"))


def test_a_model_waits_for_its_approval_and_goes_on_where_it_has_it(store: Store, train: Train, keys: Keys) -> None:
    standing, model = train("standing"), train("model")
    released(standing, store, approval=False)
    with pytest.raises(GateStopped, match=f"Model {model.version} is registered and waits for approval"):
        released(model, store, approval=True)
    pointer = champion(store)
    assert pointer is not None
    assert pointer.version == standing.version
    approve(store, model.version, "Rosa Quispe", keys[1])
    assert approve(store, model.version, "Somebody Else", keys[1]).approved_by == "Rosa Quispe"
    assert released(model, store, approval=True).previous == standing.version
    (key,) = [key for key in store.keys(AUDIT_BUCKET, "promotions/") if model.version in key]
    assert b"Rosa Quispe" in store.read(AUDIT_BUCKET, key)


def test_only_a_registered_model_is_approved_and_by_a_name(store: Store, train: Train, keys: Keys) -> None:
    with pytest.raises(ModelRefused, match="is not in the registry"):
        approve(store, "000000000000", "Rosa Quispe", keys[1])
    with pytest.raises(InputError, match="Nobody is named"):
        approve(store, train().version, " ", keys[1])


def test_an_approval_that_is_none_is_refused_in_a_sentence(store: Store, train: Train) -> None:
    model = train("approved by hand")
    store.write_once(MODEL_BUCKET, f"approvals/{model.version}.json", b'{"version": "x", "approved": "Rosa Quispe"}')
    with pytest.raises(ModelRefused, match=rf"approvals/{model.version}\.json is not an approval \(.*approved"):
        released(model, store, approval=True)


def test_a_rollback_lets_the_champion_before_answer(store: Store, train: Train, keys: Keys) -> None:
    first, second = train("first"), train("second")
    for model in (first, second):
        released(model, store, approval=False)
    assert roll_back("Rosa Quispe", "abc", keys[1], store, Progress("rollback"), None) == Release(
        first.version, "scorecard", f"s3://quipu-models/models/{first.version}", second.version
    )
