import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from components.credit.book.store import MODEL_BUCKET, Access, Store
from components.credit.errors import ModelRefused
from components.credit.release.registry import champion, fetch, list_models, promote, register, show
from components.credit.release.signing import new_key_pair

Train = Callable[..., Any]
Keys = tuple[str, str]
ROWS = {"days_late": np.array([np.nan, 3.0, 45.0])}


def replace(store: Store, key: str, data: bytes, folder: Path) -> None:
    (folder / "replacement").write_bytes(data)
    store.upload(MODEL_BUCKET, key, folder / "replacement")


def test_a_registered_model_comes_back_as_it_was(store: Store, train: Train, keys: Keys) -> None:
    model = train()
    register(store, model.folder, model.package, keys[0])
    package, scorer = fetch(store, model.version, keys[1])
    assert package == model.package
    assert scorer.version() == model.version
    np.testing.assert_array_equal(scorer.probability(ROWS), model.scorer.probability(ROWS))


def test_registering_again_leaves_the_first_manifest(store: Store, train: Train, keys: Keys) -> None:
    model = train()
    first = register(store, model.folder, model.package, keys[0])
    later = msgspec.structs.replace(model.package, as_of="2024-07-31")
    assert register(store, model.folder, later, keys[0]) == first
    assert show(store, model.version, keys[1]).as_of == "2024-06-30"


def test_an_altered_byte_is_refused(store: Store, train: Train, keys: Keys, tmp_path: Path) -> None:
    model = train()
    register(store, model.folder, model.package, keys[0])
    key = f"models/{model.version}/model.json"
    replace(store, key, store.read(MODEL_BUCKET, key).replace(b"0.2", b"0.9", 1), tmp_path)
    with pytest.raises(ModelRefused, match=r"model\.json .* is not the file that was signed"):
        fetch(store, model.version, keys[1])


def test_a_missing_file_is_refused(access: Access, train: Train, keys: Keys) -> None:
    class Forgetful(Store):
        def upload(self, bucket: str, key: str, path: Path) -> None:
            pass

    model, store = train(), Forgetful(access)
    register(store, model.folder, model.package, keys[0])
    with pytest.raises(ModelRefused, match=r"model\.json is missing"):
        fetch(store, model.version, keys[1])


def test_a_file_that_was_not_signed_is_refused(store: Store, train: Train, keys: Keys, tmp_path: Path) -> None:
    model = train()
    register(store, model.folder, model.package, keys[0])
    replace(store, f"models/{model.version}/trees.ubj", b"planted", tmp_path)
    with pytest.raises(ModelRefused, match=r"trees\.ubj lies in .* without being signed"):
        fetch(store, model.version, keys[1])


def test_a_forged_model_is_refused(store: Store, train: Train, keys: Keys) -> None:
    model = train()
    stranger, _ = new_key_pair()
    register(store, model.folder, model.package, stranger)
    with pytest.raises(ModelRefused, match="does not verify with QUIPU_VERIFY_KEY"):
        fetch(store, model.version, keys[1])
    with pytest.raises(ModelRefused, match="does not verify"):
        register(store, model.folder, model.package, keys[0])


def test_the_manifest_of_another_version_is_refused(store: Store, train: Train, keys: Keys, tmp_path: Path) -> None:
    old, new = train("old"), train("new")
    for model in (old, new):
        register(store, model.folder, model.package, keys[0])
    for name in ("MANIFEST.dsse.json", "model.json"):
        replace(
            store, f"models/{new.version}/{name}", store.read(MODEL_BUCKET, f"models/{old.version}/{name}"), tmp_path
        )
    with pytest.raises(ModelRefused, match=f"manifest of another version, {old.version}"):
        fetch(store, new.version, keys[1])


def test_a_manifest_that_names_other_files_than_its_version_is_refused(store: Store, train: Train, keys: Keys) -> None:
    old, new = train("old"), train("new")
    register(store, old.folder, new.package, keys[0])
    with pytest.raises(ModelRefused, match=f"are those of version {old.version}"):
        fetch(store, new.version, keys[1])
    with pytest.raises(ModelRefused, match="is in the registry with other files"):
        register(store, new.folder, new.package, keys[0])


def test_an_unknown_version_is_refused(store: Store, keys: Keys) -> None:
    with pytest.raises(ModelRefused, match="is not in the registry"):
        fetch(store, "000000000000", keys[1])


def test_files_without_a_manifest_are_no_model(store: Store, train: Train, keys: Keys) -> None:
    model = train()
    store.upload(MODEL_BUCKET, f"models/{model.version}/model.json", model.folder / "model.json")
    with pytest.raises(ModelRefused, match="is not in the registry"):
        fetch(store, model.version, keys[1])


def test_the_pointer_moves_and_tells_what_it_held(store: Store, train: Train, keys: Keys) -> None:
    first, second = train("first"), train("second")
    hashes = [register(store, model.folder, model.package, keys[0]) for model in (first, second)]
    promote(store, first.version, hashes[0])
    moved = promote(store, second.version, hashes[1])
    assert moved.previous == first.version
    assert champion(store) == moved
    manifest = store.read(MODEL_BUCKET, f"models/{second.version}/MANIFEST.dsse.json")
    assert moved.manifest == hashlib.sha256(manifest).hexdigest()


def test_a_pointer_that_is_there_already_is_not_moved(store: Store, train: Train) -> None:
    version = train().version
    moved = promote(store, version, "aa")
    before = store.read_pointer(MODEL_BUCKET, "champion")
    assert promote(store, version, "bb") == moved
    assert store.read_pointer(MODEL_BUCKET, "champion") == before


def test_a_lost_race_is_run_again_from_what_the_other_wrote(access: Access, train: Train) -> None:
    class Overtaken(Store):
        raced = False

        def move_pointer(self, bucket: str, key: str, data: bytes, tag: str | None) -> bool:
            if not self.raced:
                self.raced = True
                promote(Store(access), other, "bb")
            return super().move_pointer(bucket, key, data, tag)

    mine, other = train("mine").version, train("other").version
    assert promote(Overtaken(access), mine, "aa").previous == other


def test_the_list_has_what_verifies_and_tells_of_the_rest(store: Store, train: Train, keys: Keys) -> None:
    mine, forged = train("mine"), train("forged")
    register(store, mine.folder, mine.package, keys[0])
    register(store, forged.folder, forged.package, new_key_pair()[0])
    models, refused = list_models(store, keys[1])
    assert mine.package in models
    assert forged.version not in [package.version for package in models]
    assert any(forged.version in sentence for sentence in refused)
