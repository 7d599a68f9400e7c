"""The feature stage: one row an application, with its features, its target and its sample."""
# ruff: noqa: S608 - the SQL is made of the contract's and the dictionary's names, quoted, never of a value

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet

from components.credit.book.contract import CATEGORY, DOUBTFUL_LOANS, IDENTIFIER, TIME
from components.credit.book.manifest import Manifest
from components.credit.book.mapping import Mapping
from components.credit.book.store import Store
from components.credit.config import Config
from components.credit.dictionary import Feature
from components.credit.features.engine import connect
from components.credit.features.notes import FeatureNotes, Finding, Leak, SplitNote
from components.credit.features.query import (
    PRICED,
    check_currencies,
    dictionary,
    protected_columns,
    query,
    tables,
)
from components.credit.features.recipe import Recipe, recipe_of
from components.credit.progress import Progress
from components.feature.history_start import beginnings, note_beginning
from components.feature.leakage import checked, leak_rows, leaks, refuse
from components.feature.split import assign_samples, check_samples, counted, exclusions
from components.feature.study import follow_loans, study
from components.feature.target import label_query, unclear_loans

THREADS, MEMORY = 2, "2GB"
ROW_GROUP = 100_000
# A column of many different values gets no dictionary: whoever reads its row group would hold all of them in memory,
# and the file would be half as large again.
WRITING: dict[str, Any] = {"compression": "zstd", "dictionary_pagesize_limit": 64 * 1024}
_TWO_YEARS = 730  # days


def build(
    clean: Manifest, mapping: Mapping, config: Config, code: str, store: Store, progress: Progress
) -> tuple[Manifest, list[Feature]]:
    """Make the feature table of all applications that were decided by the as-of day.

    Partitions of borrowers are read one after the other, and what does not fit in memory is spilled. Features that
    have the same value in the whole training set say nothing and are left out; so are those of the season, where the
    training set spans less than two years: a month seen once is not told from what else happened in it.

    Args:
        clean: Manifest of the clean tables.
        mapping: The lender's mapping.
        config: Target, split and limits.
        code: Revision of the code.
        store: Holds the clean tables and takes the feature table.
        progress: Takes row counts and warnings.

    Returns:
        Manifest of the dataset ``features``, with ``FeatureNotes``; and the feature dictionary, in the order of the
        columns.

    Raises:
        InputError: Amounts in a currency without a rate, no label or one class only, a random split without a reason.
        GateStopped: Too few bads to train on, or a leak that nobody answers for; its applications are published.
        StoreError: The store does not answer, or the disk is full.
    """
    recipe = recipe_of(mapping)
    with store.scanning(), tempfile.TemporaryDirectory(prefix="quipu-feature-") as name:
        folder = Path(name)
        connection = connect(recipe, threads=THREADS, memory=MEMORY, spill=str(folder / "spill"))
        try:
            parts = len(clean.tables["applications"].parts)
            for part in range(parts):
                make_part(connection, clean, part, recipe, config, store, progress, folder)
                follow_loans(connection, config.target, recipe, clean.as_of)
                progress.report("features", share=0.8 * (part + 1) / parts)
            connection.read_parquet(str(folder / "made-*.parquet")).create_view("made")
            notes, kept = _take_notes(connection, clean, mapping, recipe, config, code, store, progress, folder)
            for part in range(parts):
                _write_part(connection, part, recipe, kept, folder)
                progress.report("table", rows=sum(notes.samples.values()), share=0.85 + 0.15 * (part + 1) / parts)
        finally:
            connection.close()
        published = store.publish(
            "features",
            clean.as_of,
            folder / "table",
            inputs={
                "clean": clean.sha256,
                "mapping": hashlib.sha256(msgspec.json.encode(mapping, order="sorted")).hexdigest(),
                "config": hashlib.sha256(msgspec.json.encode(config, order="sorted")).hexdigest(),
            },
            code=code,
            notes=msgspec.to_builtins(notes),
        )
    return published, kept


def _take_notes(
    connection: duckdb.DuckDBPyConnection,
    clean: Manifest,
    mapping: Mapping,
    recipe: Recipe,
    config: Config,
    code: str,
    store: Store,
    progress: Progress,
    folder: Path,
) -> tuple[FeatureNotes, list[Feature]]:
    """Split the applications, count them, look for leaks, and choose the features that models are given.

    Args:
        connection: Database with ``labels``, ``followed``, ``beginnings`` and the view ``made``; takes ``samples``.
        clean: Manifest of the clean tables.
        mapping: The lender's mapping.
        recipe: What to know of the lender.
        config: Target, split and limits.
        code: Revision of the code.
        store: Takes the applications of leaks.
        progress: Takes warnings.
        folder: Folder of the run's files.

    Raises:
        InputError: No label or one class only, a random split without a reason.
        GateStopped: Too many unclear loans, too few bads to train on, or a leak that nobody answers for.
    """
    studied = study(connection, config.target, recipe, clean.as_of)
    unclear = unclear_loans(connection, config.limits, progress)
    split = assign_samples(connection, config, mapping.dated)
    samples, bads = counted(connection)
    check_samples(split, samples, bads, config)
    starts = beginnings(connection, progress)
    known = dictionary(recipe)
    left_out = _left_out(connection, known)
    kept = [feature for feature in known if feature.name not in left_out]
    progress.report("leaks", share=0.85)
    checks = checked(connection, kept, config.limits)
    findings = leaks(connection, kept, checks)
    place = ""
    if findings:
        place = _publish_leaks(leak_rows(connection, kept, findings), findings, clean, code, store, folder)
    refuse(findings, config.limits, place)
    reason = config.limits.leakage_reason
    notes = FeatureNotes(
        split=SplitNote(
            split.kind, split.test_from.isoformat() if split.test_from else None, split.embargo_days, split.reason
        ),
        samples=samples,
        bads=bads,
        leakage=[Leak(**msgspec.structs.asdict(finding), place=place, reason=reason) for finding in findings],
        checks=checks,
        left_out=left_out,
        history_starts=starts,
        exclusions=exclusions(connection, config.target),
        unclear=unclear,
        study=studied,
        recipe=recipe,
    )
    return notes, kept


def make_part(
    connection: duckdb.DuckDBPyConnection,
    clean: Manifest,
    part: int,
    recipe: Recipe,
    config: Config,
    store: Store,
    progress: Progress,
    folder: Path,
) -> None:
    """Write ``made-<part>.parquet`` with the features of a partition, and add to ``labels`` what became of it and to
    ``beginnings`` when its tables begin."""
    for name in tables(recipe):
        connection.register(name, store.partitions(clean, name, part))
    for name in PRICED:
        if name not in recipe.absent:
            earliest = _earliest(connection, name)
            check_currencies(name, earliest, recipe)
            note_beginning(connection, name, earliest.values())
    connection.sql(query(recipe)).write_parquet(str(folder / made(part)))
    doubtful = DOUBTFUL_LOANS in clean.tables
    if doubtful:
        connection.register(DOUBTFUL_LOANS, store.table(clean, DOUBTFUL_LOANS))
    found = label_query(config.target, recipe, clean.as_of, doubtful=doubtful)
    connection.execute(f"CREATE TABLE IF NOT EXISTS labels AS {found} LIMIT 0")
    connection.sql(found).insert_into("labels")


def _write_part(
    connection: duckdb.DuckDBPyConnection, part: int, recipe: Recipe, features: list[Feature], folder: Path
) -> None:
    """Write a partition of the feature table, in order of ``application_id``, in row groups of the same size."""
    schema = feature_schema(recipe, features)
    # Applications of after the as-of day have features but no sample: the join leaves them out.
    columns = ", ".join(quoted(name) for name in schema.names)
    connection.read_parquet(str(folder / made(part))).create_view("made_part", replace=True)
    rows = connection.sql(
        f"SELECT {columns} FROM made_part JOIN samples USING (application_id, borrower_id) ORDER BY application_id"
    ).to_arrow_reader(ROW_GROUP)
    target = folder / "table" / "features"
    target.mkdir(parents=True, exist_ok=True)
    with pyarrow.parquet.ParquetWriter(target / f"part-{part:05d}.parquet", schema, **WRITING) as file:
        for group in row_groups(rows):
            file.write_table(group.cast(schema))


def feature_schema(recipe: Recipe, features: list[Feature]) -> pa.Schema:
    """Schema of the feature table: who and when, target and sample, what models never see, then the features."""
    return pa.schema(
        [
            ("application_id", IDENTIFIER),
            ("borrower_id", IDENTIFIER),
            ("decided_at", TIME),
            ("currency", CATEGORY),
            ("amount", pa.float64()),
            ("decision", CATEGORY),
            ("incumbent_score", pa.float64()),
            ("sample", CATEGORY),
            ("bad", pa.int8()),
            ("segment", CATEGORY),
            ("thin_file", pa.bool_()),
            *((name, CATEGORY) for name in protected_columns(recipe)),
            *((feature.name, pa.float64() if feature.type == "number" else CATEGORY) for feature in features),
        ]
    )


def row_groups(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows in tables of one size, however they come, so that the same rows give the same bytes."""
    waiting = rows.schema.empty_table()
    for batch in rows:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
        while waiting.num_rows >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    if waiting.num_rows:
        yield waiting.combine_chunks()


def _publish_leaks(
    rows: pa.Table, findings: list[Finding], clean: Manifest, code: str, store: Store, folder: Path
) -> str:
    """Publish the applications of the findings, before anything is refused, and say where they are."""
    target = folder / "leakage" / "applications"
    target.mkdir(parents=True)
    pyarrow.parquet.write_table(rows, target / "part-00000.parquet", compression="zstd")
    published = store.publish(
        "leakage",
        clean.as_of,
        folder / "leakage",
        inputs={"clean": clean.sha256},
        code=code,
        notes={"findings": msgspec.to_builtins(findings)},
    )
    return f"{published.bucket}/{published.prefix}"


def _left_out(connection: duckdb.DuckDBPyConnection, features: list[Feature]) -> dict[str, str]:
    """The features that models are not given, and why: those of one value in the training set, missing being one, and
    those of the season where there are not two of each."""
    counts = ", ".join(
        f"count({quoted(feature.name)}), min({quoted(feature.name)}) IS DISTINCT FROM max({quoted(feature.name)})"
        for feature in features
    )
    rows, days, *found = connection.execute(
        f"SELECT count(*), date_diff('day', min(decided_at), max(decided_at)), {counts} "
        "FROM made JOIN samples USING (application_id) WHERE sample = 'train'"
    ).fetchall()[0]
    left_out = {
        feature.name: "the same value throughout"
        for feature, count, differs in zip(features, found[::2], found[1::2], strict=True)
        if not differs and not 0 < count < rows
    }
    if days < _TWO_YEARS:
        why = f"seasons, of which a training sample of {days:,} days holds none twice"
        seasonal = [
            feature.name for feature in features if feature.cause == "seasonality" and feature.type == "category"
        ]
        left_out = dict.fromkeys(seasonal, why) | left_out
    return left_out


def _earliest(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    """Time of a table's earliest row in each currency, in microseconds since 1970."""
    return dict(
        connection.execute(f"SELECT currency, epoch_us(min(event_time)) FROM {table} GROUP BY currency").fetchall()
    )


def made(part: int) -> str:
    """Name of the file that ``make_part`` writes."""
    return f"made-{part:05d}.parquet"


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
