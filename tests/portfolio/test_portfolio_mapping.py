"""The mapping of the portfolio: it fills the contract, leaves people's names out, and loses no row."""

from pathlib import Path

import pytest

from components.credit.book.contract import TABLES
from components.credit.book.documents import read_mapping
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.progress import Progress
from components.ingest.landing import ingest
from components.validate.quarantine import validate
from tests.portfolio.conftest import AS_OF, Generate

MAPPING = str(Path(__file__).resolve().parents[2] / "pipelines" / "mappings" / "portfolio.yaml")
# A generated book has a history, and so no ready-made outcome.
_LEFT_OUT = {"outcome", "outcome_known_at"}


def test_every_column_of_the_contract_is_filled() -> None:
    mapping = read_mapping(MAPPING)
    assert not mapping.absent
    for name, table in TABLES.items():
        mapped = {column for rows in mapping.tables[name] for column in rows.columns}
        # The portfolio's schedules have one version, and their rows say when they were known.
        implied = {"known_at", "currency", "schedule_version"} | ({"borrower_id"} if name == "repayments" else set())
        assert {field.name for field in table.fields} - _LEFT_OUT - implied <= mapped, name


def test_names_and_places_are_never_read() -> None:
    mapping = read_mapping(MAPPING)
    read = {
        mapped.column(column).column  # type: ignore[union-attr]
        for sources in mapping.tables.values()
        for mapped in sources
        for column in mapped.columns
    }
    assert not read & {"APELLIDO_PATERNO", "APELLIDO_MATERNO", "NOMBRES", "DIRECCION", "TELEFONO", "RUC"}


def test_dollars_have_a_rate_from_the_first_loan_on() -> None:
    first = min(rate.since for rate in read_mapping(MAPPING).rates if rate.currency == "USD")
    assert (AS_OF - first).days > 6 * 366


def test_the_books_reach_the_contract_but_for_a_few_broken_rows(
    new_portfolio: Generate, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUIPU_PSEUDONYM_KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / "progress.jsonl"))
    folder = new_portfolio("caja", borrowers=1_000)
    mapping, config, progress = read_mapping(MAPPING), Config(), Progress("ingest")
    raw = ingest(str(folder), mapping, config, AS_OF.isoformat(), "test", store, progress)
    lines = sum(len(path.read_bytes().splitlines()) - 1 for path in folder.iterdir())
    assert sum(raw.notes["rows"].values()) == lines
    report = validate(raw, mapping, config, "test", store, progress).report
    assert report.rows.keys() == TABLES.keys()
    for name, rows in report.rows.items():
        assert 0 < rows.quarantined < 0.02 * rows.received, name
    codes = [reason for reason in report.reasons if "does not list" in reason.reason]
    assert codes == []
