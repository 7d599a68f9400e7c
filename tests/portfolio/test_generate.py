"""How a portfolio is written: the same bytes for the same seed, batch by batch, whole or not at all."""

import datetime
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from components.credit.errors import InputError
from pipelines.portfolio import generate as generation
from pipelines.portfolio.generate import generate
from tests.portfolio.conftest import AS_OF, Generate

_PEAKS = """
import datetime, resource, sys
from pathlib import Path
from pipelines.portfolio import generate as generation
generation.BATCH = 400
for borrowers in (400, 2_400):
    out = Path(sys.argv[1]) / str(borrowers)
    generation.generate(borrowers, 1, datetime.date(2025, 6, 30), out, lambda written: None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_people(new_portfolio: Generate) -> None:
    once = hashes(new_portfolio("once", seed=5))
    assert hashes(new_portfolio("again", seed=5)) == once
    other = hashes(new_portfolio("other", seed=6))
    assert other.keys() == once.keys()
    assert not set(other.values()) & set(once.values())


def test_a_batch_does_not_depend_on_those_after_it(new_portfolio: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "BATCH", 200)
    few, many = new_portfolio("few", 200), new_portfolio("many", 500)
    for path in few.iterdir():
        assert (many / path.name).read_bytes().startswith(path.read_bytes())
    assert (many / "movimientos-002.csv").exists()


def test_each_batch_holds_people_of_its_own(new_portfolio: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "BATCH", 200)
    folder = new_portfolio("two", 400)
    amounts = [
        {line.split(";")[6] for line in (folder / f"movimientos-{batch}.csv").read_text("latin-1").splitlines()}
        for batch in ("000", "001")
    ]
    assert len(amounts[0] & amounts[1]) < 0.5 * len(amounts[0])


def test_memory_does_not_grow_with_the_number_of_borrowers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PEAKS, str(tmp_path)]
    one_batch, six_batches = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(six_batches) < 1.25 * int(one_batch)


def test_progress_counts_the_borrowers_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "BATCH", 100)
    written: list[int] = []
    generate(250, 1, AS_OF, tmp_path / "out", written.append)
    assert written == [100, 200, 250]


def test_nothing_is_left_when_it_is_broken_off(tmp_path: Path) -> None:
    def stop(written: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(50, 1, AS_OF, tmp_path / "out", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something; name a folder that is new or empty"):
        generate(10, 1, AS_OF, tmp_path, lambda written: None)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    generate(10, 1, AS_OF, tmp_path / "out", lambda written: None)
    assert (tmp_path / "out" / "clientes.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        generate(10, 1, AS_OF, tmp_path / "file" / "out", lambda written: None)


@pytest.mark.parametrize(("borrowers", "seed", "word"), [(0, 1, "borrowers"), (-3, 1, "borrowers"), (5, -1, "seed")])
def test_numbers_out_of_range_are_refused(tmp_path: Path, borrowers: int, seed: int, word: str) -> None:
    with pytest.raises(InputError, match=word):
        generate(borrowers, seed, AS_OF, tmp_path / "out", lambda written: None)
    assert not (tmp_path / "out").exists()


def test_a_single_borrower_and_a_leap_day_will_do(new_portfolio: Generate) -> None:
    folder = new_portfolio("one", borrowers=1, as_of=datetime.date(2024, 2, 29))
    assert len((folder / "clientes.csv").read_bytes().splitlines()) == 2
