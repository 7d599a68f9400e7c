"""Ingest as a whole: from files to the raw tables in the store, or one sentence and nothing in the store."""

import gzip
import io
import tempfile
import unicodedata
import zipfile
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.credit.book.contract import APPLICATIONS, PROVENANCE
from components.credit.book.mapping import parse_mapping
from components.credit.book.store import DATA_BUCKET, LANDING_BUCKET, Store
from components.credit.config import Config
from components.credit.errors import InputError, QuipuError, StoreError
from components.credit.progress import Progress
from components.ingest import partitions
from components.ingest.landing import ingest
from pipelines.embedded import embedded_store
from tests.ingest.conftest import HEADER, LENDER, Ingest

GOOD = HEADER + "1;10117410;15/01/2024;1.200,50;B\n2;10117411;16/01/2024;800;M\n"


def raw_datasets(store: Store) -> list[str]:
    return store.keys(DATA_BUCKET, "raw/")


def test_raw_rows_hold_typed_columns_their_place_and_no_identifier(ingested: Ingest) -> None:
    landed = ingested({"solicitudes_1.csv": GOOD, "solicitudes_2.csv": GOOD})
    table = landed.tables["applications"]
    assert table.schema.equals(pa.schema([*APPLICATIONS.schema, *PROVENANCE]))
    first, _, third, _ = landed.applications
    assert (first["amount"], first["currency"], first["outcome"]) == (Decimal("1200.50"), "PEN", "good")
    assert (first["source_file"], first["source_row"], first["problems"]) == ("solicitudes_1.csv", 1, [])
    assert first["event_time"].isoformat() == "2024-01-15T05:00:00+00:00"
    assert first["known_at"] == first["event_time"]
    assert third["borrower_id"] == first["borrower_id"] != landed.applications[1]["borrower_id"]
    assert "10117410" not in str(table.to_pylist())
    assert landed.manifest.notes == {"rows": {"applications": 4}}
    assert sorted(landed.manifest.inputs) == ["mapping", "solicitudes_1.csv", "solicitudes_2.csv"]
    assert landed.warnings == []


def test_a_row_that_cannot_be_read_is_written_with_its_problems(ingested: Ingest) -> None:
    bad = "3;10117410-3;2024-01-15;1,200.50;X\ncortada\n"
    landed = ingested({"solicitudes.csv": GOOD + bad})
    assert landed.manifest.notes == {"rows": {"applications": 4}}
    third, fourth = landed.applications[2:]
    assert [third[name] for name in ("borrower_id", "decided_at", "amount", "outcome")] == [None] * 4
    assert third["problems"] == [
        "borrower_id: DNI is not a DNI: eight digits and, where given, the right check character",
        "event_time: FECHA is not a date of the form %d/%m/%Y",
        "decided_at: FECHA is not a date of the form %d/%m/%Y",
        "amount: MONTO is not a number with decimal ','",
        "outcome: ESTADO holds a code that the mapping does not list",
    ]
    assert (fourth["source_row"], fourth["problems"]) == (4, ["line: has 1 columns instead of 5"])


def test_the_same_inputs_give_the_same_bytes(ingested: Ingest) -> None:
    lines = "".join(f"{row};{20000000 + row % 999};{1 + row % 28:02d}/03/2024;{row};B\n" for row in range(5000))
    runs = [ingested({"solicitudes.csv": HEADER + lines}, partitions=5).manifest for _ in range(2)]
    assert runs[0] == runs[1]
    assert ingested({"solicitudes.csv": HEADER + lines + lines[:30]}, partitions=5).manifest.sha256 != runs[0].sha256


def test_all_rows_of_a_person_lie_in_one_partition_of_each_table(ingested: Ingest, store: Store) -> None:
    lines = "".join(f"{row};{20000000 + row % 99};15/03/2024;{row};B\n" for row in range(500))
    mapping = LENDER.replace("absent: [borrowers, ", "absent: [").replace(
        "tables:\n",
        "tables:\n  borrowers:\n    - source: requests\n      columns: {borrower_id: {column: DNI, identifier: dni}, "
        "event_time: FECHA}\n",
    )
    manifest = ingested({"solicitudes.csv": HEADER + lines}, mapping, partitions=4).manifest
    people = []
    for index in range(4):
        found = {
            name: set(store.partitions(manifest, name, index).to_table(["borrower_id"])["borrower_id"].to_pylist())
            for name in ("borrowers", "applications")
        }
        assert found["borrowers"] == found["applications"] != set()
        people.append(found["borrowers"])
    assert sum(len(part) for part in people) == len(set.union(*people)) == 99


def test_a_partition_without_people_is_an_empty_file(ingested: Ingest) -> None:
    manifest = ingested({"solicitudes.csv": GOOD}, partitions=20).manifest
    parts = manifest.tables["applications"].parts
    assert [part.path for part in parts] == [f"applications/part-{index:05d}.parquet" for index in range(20)]
    assert sorted(part.rows for part in parts)[:18] == [0] * 18


@pytest.mark.parametrize("kind", ["csv", "zip", "parquet"])
def test_the_number_of_partitions_follows_from_the_size_of_the_tables(
    ingested: Ingest, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = HEADER + "".join(f"{n};{10_000_000 + n};01/02/2024;1500,00;B\n" for n in range(3000))
    rows = [line.split(";") for line in content.splitlines()]
    files: dict[str, bytes | str] = {"solicitudes.csv": content}
    mapping = LENDER
    if kind == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("solicitudes.csv", content)
        files, mapping = {"solicitudes.zip": packed.getvalue()}, LENDER.replace("solicitudes*.csv", "*.zip")
    if kind == "parquet":
        table = pa.table({name: [row[place] for row in rows[1:]] for place, name in enumerate(rows[0])})
        written = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, written)
        files = {"solicitudes.parquet": written.getvalue().to_pybytes()}
        mapping = LENDER.replace("solicitudes*.csv", "*.parquet")
    monkeypatch.setattr(partitions, "_PARTITION_BYTES", 50_000)
    parts = ingested(files, mapping, partitions=None).manifest.tables["applications"].parts
    assert len(parts) == 3


def test_zipped_and_compressed_files_and_parquet(ingested: Ingest) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("enero/solicitudes.csv", GOOD.encode("latin-1"))
    mapping = LENDER.replace('"solicitudes*.csv"', '"solicitudes*"')
    landed = ingested(
        {"solicitudes.zip": archive.getvalue(), "solicitudes.csv.gz": gzip.compress(GOOD.encode())}, mapping
    )
    assert [row["source_file"] for row in landed.applications] == [
        "solicitudes.csv.gz", "solicitudes.csv.gz",
        "solicitudes.zip/enero/solicitudes.csv", "solicitudes.zip/enero/solicitudes.csv",
    ]  # fmt: skip
    assert landed.applications[0]["amount"] == landed.applications[2]["amount"] == Decimal("1200.50")


def test_parquet_keeps_its_own_types(ingested: Ingest) -> None:
    file = io.BytesIO()
    table = pa.table(
        {
            "NUMERO": [1, 2],
            "DNI": pa.array(["10117410", None]).dictionary_encode(),
            "FECHA": pa.array([1705294800000, None], pa.timestamp("ms")),
            "MONTO": [1200.5, 3.0],
            "ESTADO": ["B", "X"],
            "SIN USO": [[1], [2]],
        }
    )
    pyarrow.parquet.write_table(table, file)
    landed = ingested({"solicitudes.parquet": file.getvalue()}, LENDER.replace("*.csv", "*"))
    first, second = landed.applications
    assert first["amount"] == Decimal("1200.50")
    assert first["event_time"].isoformat() == "2024-01-15T10:00:00+00:00"
    assert second["problems"] == ["outcome: ESTADO holds a code that the mapping does not list"]
    assert landed.manifest.notes == {"rows": {"applications": 2}}
    same = ingested({"solicitudes.csv": HEADER + "1;10117410;15/01/2024;1;B\n"}).applications[0]
    assert first["borrower_id"] == same["borrower_id"]
    assert first["application_id"] == same["application_id"]


def test_parquet_of_narrow_floats_and_wide_decimals(ingested: Ingest, store: Store) -> None:
    file = io.BytesIO()
    amounts = pa.array([Decimal("1200.50"), Decimal("1" + "0" * 45)], pa.decimal256(60, 2))
    columns = {"NUMERO": pa.array([1.0, 2.0], pa.float16()), "DNI": ["10117410"] * 2, "FECHA": ["15/01/2024"] * 2}
    pyarrow.parquet.write_table(pa.table({**columns, "MONTO": amounts[:1].take([0, 0]), "ESTADO": ["B", "M"]}), file)
    mapping = LENDER.replace("*.csv", "*")
    assert [row["amount"] for row in ingested({"solicitudes.parquet": file.getvalue()}, mapping).applications] == [
        Decimal("1200.50")
    ] * 2
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({**columns, "MONTO": amounts, "ESTADO": ["B", "M"]}), file)
    with pytest.raises(InputError, match="'MONTO' holds numbers of more than 38 digits"):
        ingested({"solicitudes.parquet": file.getvalue()}, mapping)


def test_a_name_that_a_mac_wrote_with_decomposed_accents_is_the_same_name(ingested: Ingest) -> None:
    composed, decomposed = (unicodedata.normalize(form, "año.csv") for form in ("NFC", "NFD"))
    for file, named in ((decomposed, composed), (composed, decomposed)):
        landed = ingested({f"{len(named)}/{file}": GOOD}, LENDER.replace("solicitudes*.csv", f"{len(named)}/{named}"))
        assert len(landed.applications) == 2


CREDITS = """
lender: Caja Prueba
currency: PEN
time_zone: America/Lima
sources:
  credits: {files: creditos.csv}
  payments: {files: pagos.csv}
tables:
  loans:
    - source: credits
      columns: {loan_id: ID, borrower_id: DNI, event_time: FECHA, principal: MONTO, kind: {value: new}}
  repayments:
    - source: payments
      columns:
        repayment_id: {column: N, suffix: -due}
        loan_id: ID
        event_time: VENCE
        kind: {value: due}
        due_on: VENCE
    - source: payments
      columns: {repayment_id: {column: N, suffix: -paid}, loan_id: ID, event_time: PAGO, kind: {value: payment}}
  applications:
    - source: credits
      columns: {application_id: ID, borrower_id: DNI, event_time: FECHA, decided_at: FECHA, loan_id: ID}
absent: [borrowers, bureau, transactions]
"""


def test_repayments_take_the_borrower_of_their_loan(ingested: Ingest) -> None:
    files = {
        "creditos.csv": "ID,DNI,FECHA,MONTO\n7,10117410,2024-01-01,10\n8,10117411,2024-01-01,10\n",
        "pagos.csv": "N,ID,VENCE,PAGO\n1,8,2024-02-01,2024-02-03\n2,7,2024-02-01,2024-02-03\n3,9,2024-02-01,\n",
    }
    for count in (1, 3):
        landed = ingested(files, CREDITS, partitions=count)
        assert landed.manifest.notes == {"rows": {"loans": 2, "repayments": 6, "applications": 2}}
        assert landed.tables["repayments"].num_rows == 6
        loans = dict(landed.tables["loans"].select(["loan_id", "borrower_id"]).to_pandas().itertuples(index=False))
        repayments = landed.tables["repayments"].to_pylist()
        known = [row for row in repayments if row["loan_id"] in loans]
        assert len(known) == 4
        assert all(row["borrower_id"] == loans[row["loan_id"]] for row in known)
        assert [row["borrower_id"] for row in repayments if row["loan_id"] not in loans] == [None, None]
        assert len({row["repayment_id"] for row in repayments}) == 6


def test_a_set_without_dates_counts_as_of_the_as_of_day(ingested: Ingest) -> None:
    mapping = LENDER.replace("        event_time: FECHA\n        decided_at: FECHA\n", "") + "dated: false\n"
    row = ingested({"solicitudes.csv": GOOD}, mapping, as_of="2024-06-30").applications[0]
    for column in ("event_time", "known_at", "decided_at"):
        assert row[column].isoformat() == "2024-06-30T05:00:00+00:00"


def test_ready_attributes_become_columns_of_applications(ingested: Ingest) -> None:
    mapping = LENDER + (
        "attributes:\n"
        "  amount_asked: {column: MONTO, type: number, en: Amount, es: Monto}\n"
        "  state: {column: ESTADO, type: category, en: State, es: Estado, codes: {B: fine, '*': else}}\n"
    )
    rows = ingested({"solicitudes.csv": GOOD}, mapping).applications
    assert [(row["attribute_amount_asked"], row["attribute_state"]) for row in rows] == [
        (1200.5, "fine"),
        (800.0, "else"),
    ]


def test_a_date_format_that_does_not_fit_is_warned_of(ingested: Ingest) -> None:
    landed = ingested({"solicitudes.csv": GOOD}, LENDER.replace("%d/%m/%Y", "%Y-%m-%d"))
    assert [row["event_time"] for row in landed.applications] == [None, None]
    assert (
        "solicitudes.csv: event_time: FECHA is not a date of the form %Y-%m-%d in 100% of the rows; see the rules of "
        "table 'applications' and the layout of its source."
    ) in landed.warnings


@pytest.mark.parametrize(
    ("decimal", "amounts", "doubted"),
    [
        (".", ["2.971", "2.042", "1.908", "900"], True),
        (".", ["2.971", "2.042", "1.90", "900"], False),
        (".", ["2.971", "2.042", "900"], False),
        (",", ["2,971", "12,042", "S/ 1,908"], True),
        (",", ["2.971,50", "2.042,00", "1.908,10"], False),
        (".", ["2971", "2042", "1908"], False),
    ],
)
def test_amounts_that_look_like_thousands_are_doubted(
    ingested: Ingest, decimal: str, amounts: list[str], doubted: bool
) -> None:
    rows = "".join(f"{n};10117410;15/01/2024;{amount};B\n" for n, amount in enumerate(amounts))
    mapping = LENDER.replace('decimal: ","', f'decimal: "{decimal}"')
    warnings = [each for each in ingested({"solicitudes.csv": HEADER + rows}, mapping).warnings if "thousand" in each]
    other = "," if decimal == "." else "."
    assert [f"amounts in 'MONTO' with a '{decimal}'" in each for each in warnings] == [True] * doubted
    assert all(f'set decimal: "{other}" for its source' in each for each in warnings)


def test_a_landing_bucket_gives_what_a_folder_gives(ingested: Ingest, store: Store, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(GOOD)
    store.upload(LANDING_BUCKET, "caja/solicitudes.csv", tmp_path / "f")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("solicitudes.csv", GOOD)
    (tmp_path / "z").write_bytes(archive.getvalue())
    store.upload(LANDING_BUCKET, "caja/solicitudes.zip", tmp_path / "z")
    mapping = LENDER.replace("*.csv", "*")
    far = ingested({}, mapping, source=f"s3://{LANDING_BUCKET}/caja")
    near = ingested({"solicitudes.csv": GOOD, "solicitudes.zip": archive.getvalue()}, mapping)
    assert far.manifest == near.manifest


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder for this test alone: others may run at the same time."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def refusal(
    ingested: Ingest, store: Store, files: dict[str, bytes | str], mapping: str = LENDER, **options: Any
) -> str:
    before = raw_datasets(store)
    with pytest.raises(QuipuError) as error:
        ingested(files, mapping, **options)
    assert list(Path(tempfile.gettempdir()).glob("quipu-ingest-*")) == []
    assert raw_datasets(store) == before
    return str(error.value)


def test_a_missing_file_offers_the_nearest(ingested: Ingest, store: Store) -> None:
    told = refusal(ingested, store, {"solicitud.csv": GOOD})
    assert "has no file 'solicitudes*.csv', which the source 'requests' of the mapping names" in told
    assert told.endswith("did you mean 'solicitud.csv'?")


def test_a_missing_folder_or_bucket(ingested: Ingest, store: Store) -> None:
    assert "/nowhere does not exist" in refusal(ingested, store, {}, source="/nowhere")
    assert "quipu-landing/none does not exist" in refusal(ingested, store, {}, source="s3://quipu-landing/none")


def test_a_file_where_a_folder_should_be(ingested: Ingest, store: Store, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(GOOD)
    assert "data.csv is not a folder" in refusal(ingested, store, {}, source=str(tmp_path / "data.csv"))


def test_a_table_without_rows(ingested: Ingest, store: Store) -> None:
    assert "The files of table 'applications' hold no rows" in refusal(ingested, store, {"solicitudes.csv": HEADER})


def test_the_last_of_many_files_stops_the_run_as_the_first_does(ingested: Ingest, store: Store) -> None:
    told = refusal(ingested, store, {"solicitudes_1.csv": GOOD, "solicitudes_2.csv": GOOD.replace("MONTO", "IMPORTE")})
    assert told.startswith("solicitudes_2.csv has no column 'MONTO', which the mapping names")


@pytest.mark.parametrize("as_of", ["2999-01-01", "31/12/2024", "20241231", "hoy"])
def test_an_as_of_day_in_the_future_or_no_day(ingested: Ingest, store: Store, as_of: str) -> None:
    assert "as-of day" in refusal(ingested, store, {"solicitudes.csv": GOOD}, as_of=as_of)


def test_a_date_format_with_an_unknown_part(ingested: Ingest, store: Store) -> None:
    told = refusal(ingested, store, {"solicitudes.csv": GOOD}, LENDER.replace("%d/%m/%Y", "%d/%m/%Q"))
    assert told.startswith("The date format '%d/%m/%Q' of the source 'requests' has an unknown part")


def test_damaged_archives_and_parquet_files(ingested: Ingest, store: Store) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.csv", GOOD * 1000)
    cut = whole.getvalue()
    mapping = LENDER.replace("*.csv", "*")
    assert "is not a zip archive" in refusal(ingested, store, {"solicitudes.zip": cut[: len(cut) // 2]}, mapping)
    damaged = bytearray(cut)
    damaged[200:240] = bytes(40)
    assert "solicitudes.zip cannot be read" in refusal(ingested, store, {"solicitudes.zip": bytes(damaged)}, mapping)
    assert "is not a Parquet file" in refusal(
        ingested, store, {"solicitudes.zip": cut, "solicitudes.parquet": b"PAR1 no"}, mapping
    )


def test_a_parquet_column_of_a_nested_type(ingested: Ingest, store: Store) -> None:
    file = io.BytesIO()
    columns = {"NUMERO": [1], "DNI": ["1"], "FECHA": ["x"], "MONTO": [[1, 2]], "ESTADO": ["B"]}
    pyarrow.parquet.write_table(pa.table(columns), file)
    told = refusal(ingested, store, {"solicitudes.parquet": file.getvalue()}, LENDER.replace("*.csv", "*"))
    assert told.startswith("solicitudes.parquet: column 'MONTO' is of type list<")


def test_a_full_disk(
    ingested: Ingest, store: Store, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(f"{row};{20000000 + row};15/03/2024;{row};B\n" for row in range(60_000))
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    told = refusal(ingested, store, {"solicitudes.csv": HEADER + lines})
    assert told == f"The local disk is full; free space in {small_disk}, or let TMPDIR name another folder."


class _Ending(Progress):
    """Progress that ends the server when the first table is done."""

    server: ExitStack

    def report(self, note: str, *, rows: int | None = None, share: float | None = None) -> None:
        self.server.close()


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_a_server_that_dies_in_the_middle(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIPU_PROGRESS_FILE", str(tmp_path / "events"))
    files = {
        "creditos.csv": "ID,DNI,FECHA,MONTO\n7,10117410,2024-01-01,10\n",
        "pagos.csv": "N,ID,VENCE,PAGO\n1,7,2024-02-01,2024-02-03\n",
    }
    with ExitStack() as server:
        private = Store(server.enter_context(embedded_store(tmp_path / "store")))
        for name, content in files.items():
            (tmp_path / name).write_text(content)
            private.upload(LANDING_BUCKET, name, tmp_path / name)
        progress = _Ending("ingest")
        object.__setattr__(progress, "server", server)
        source = str(tmp_path) if place == "folder" else f"s3://{LANDING_BUCKET}"
        with pytest.raises(StoreError) as error:
            ingest(source, parse_mapping(CREDITS, "m"), Config(), "2024-12-31", "test", private, progress)
    assert str(error.value).startswith(
        "The store at 127.0.0.1" if place == "folder" else "The store stopped answering while pagos.csv was read"
    )


def test_a_missing_key_stops_before_anything_is_read(ingested: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIPU_PSEUDONYM_KEY")
    with pytest.raises(InputError, match="QUIPU_PSEUDONYM_KEY is not set"):
        ingested({})
