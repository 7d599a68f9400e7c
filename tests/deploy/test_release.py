from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.credit.book.store import Access, Store
from components.credit.errors import InputError, ModelRefused, StoreError
from components.credit.progress import Progress
from components.credit.release.decision import Decision
from components.credit.release.registry import champion, fetch, version_of_run
from components.deploy.release import Release, release

Train = Callable[..., Any]
Keys = tuple[str, str]


@pytest.fixture(autouse=True)
def _signing_key(monkeypatch: pytest.MonkeyPatch, keys: Keys) -> None:
    monkeypatch.setenv("QUIPU_SIGNING_KEY", keys[0])


def released(
    model: Any, store: Store, decision: Decision | None = None, target: str = "local", run: str = ""
) -> Release:
    run = run or f"run-{model.version}"
    progress = Progress("deploy")
    return release(str(model.folder), decision or model.decision, target, "abc123", run, store, progress)


def test_a_release_is_signed_registered_and_pointed_to(store: Store, train: Train, keys: Keys) -> None:
    first, second = train("first"), train("second")
    released(first, store)
    assert released(second, store) == Release(
        second.version, "scorecard", f"s3://quipu-models/models/{second.version}", first.version
    )
    pointer = champion(store)
    assert pointer is not None
    assert pointer.version == second.version
    package, _ = fetch(store, second.version, keys[1])
    assert (package.code, package.as_of) == ("abc123", "2024-06-30")
    assert (package.metrics["auc"], package.metrics["n"]) == (0.7, 50.0)
    assert "calibration_slope" not in package.metrics, "a figure that the rows do not give is left out"
    assert package.decision == second.decision


def test_a_release_done_twice_is_done_once(store: Store, train: Train) -> None:
    model = train()
    once = released(model, store)
    assert released(model, store) == once


def test_a_model_that_is_to_wait_is_registered_and_the_champion_stays(store: Store, train: Train, keys: Keys) -> None:
    standing, waiting = train("standing"), train("waiting")
    released(standing, store)
    assert released(waiting, store, target="registry", run="run-7").previous == standing.version
    pointer = champion(store)
    assert pointer is not None
    assert pointer.version == standing.version
    assert version_of_run(store, "run-7") == waiting.version
    fetch(store, waiting.version, keys[1])


def test_a_run_registers_one_model_only(store: Store, train: Train) -> None:
    released(train("first"), store, target="registry", run="run-8")
    with pytest.raises(ModelRefused, match="Run run-8 has registered another model before"):
        released(train("second"), store, target="registry", run="run-8")


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_release_killed_at_any_step_ends_right_when_run_again(
    access: Access, store: Store, train: Train, keys: Keys, step: int, done: bool
) -> None:
    class Dying(Store):
        steps = 0

        def upload(self, bucket: str, key: str, path: Path) -> None:
            self._die_at(0, lambda: super(Dying, self).upload(bucket, key, path))

        def write_once(self, bucket: str, key: str, data: bytes) -> bool:
            return bool(
                self._die_at(
                    3 if key.startswith("runs/") else 1, lambda: super(Dying, self).write_once(bucket, key, data)
                )
            )

        def move_pointer(self, bucket: str, key: str, data: bytes, tag: str | None) -> bool:
            return bool(self._die_at(2, lambda: super(Dying, self).move_pointer(bucket, key, data, tag)))

        def _die_at(self, here: int, act: Callable[[], bool | None]) -> bool | None:
            if here == step and not done:
                raise StoreError("killed")
            result = act()
            if here == step:
                raise StoreError("killed")
            return result

    before, model = train("before"), train("model")
    released(before, store)
    with pytest.raises(StoreError, match="killed"):
        released(model, Dying(access))
    pointer = champion(store)
    assert pointer is not None
    assert pointer.version in (before.version, model.version)
    fetch(store, pointer.version, keys[1])  # at no moment does the pointer name what does not verify
    assert released(model, store).previous == before.version
    fetch(store, model.version, keys[1])


def test_an_unknown_target_is_refused(store: Store, train: Train) -> None:
    with pytest.raises(
        InputError, match=r"The deploy target 'moon' is not known; use one of: local, registry, kubernetes\."
    ):
        released(train(), store, target="moon")


def test_a_decision_about_another_model_is_refused(store: Store, train: Train) -> None:
    with pytest.raises(InputError, match="does not name model"):
        released(train("model"), store, decision=train("other").decision)


def test_a_release_without_a_signing_key_is_refused(
    store: Store, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QUIPU_SIGNING_KEY")
    with pytest.raises(InputError, match="QUIPU_SIGNING_KEY is not set"):
        released(train(), store)


def test_a_folder_without_a_model_is_refused(store: Store, train: Train, tmp_path: Path) -> None:
    model = train()
    (model.folder / "model.json").write_bytes(b"{")
    with pytest.raises(ModelRefused):
        released(model, store)
