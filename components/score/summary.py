"""The end of a batch scoring: one dataset of all parts, and a page with the distribution of the scores."""

from collections.abc import Sequence

import msgspec

from components.credit.book.manifest import Manifest, TableParts, encode, identity
from components.credit.book.store import MANIFEST, Store
from components.credit.config import Config
from components.credit.drift import Shift
from components.credit.models.scorer import BANDS
from components.credit.release.released import Released
from components.score.tally import Tally, shift_of

_BARS = 16
_REASONS = 8


def joined(parts: Sequence[Manifest], code: str, store: Store) -> Manifest:
    """One dataset of those that the tasks wrote below the same day; their files are not moved.

    Raises:
        StoreError: The store does not answer.
    """
    first = parts[0]
    day, _, _ = first.prefix.rpartition("/")
    files = [
        msgspec.structs.replace(part, path=f"{manifest.prefix.removeprefix(day + '/')}/{part.path}")
        for manifest in parts
        for part in manifest.tables["scores"].parts
    ]
    table = TableParts(sum(part.rows for part in files), first.tables["scores"].columns, files)
    tables = {"scores": table}
    sha256 = identity(tables)
    inputs = {"model": first.inputs["model"]} | {manifest.prefix: manifest.sha256 for manifest in parts}
    manifest = Manifest(first.dataset, first.as_of, sha256, first.bucket, day, tables, inputs, code)
    store.write_once(manifest.bucket, f"{day}/sha256={sha256[:12]}/{MANIFEST}", encode(manifest))
    return manifest


def shift_since_training(tally: Tally, model: Released, config: Config) -> Shift | None:
    """PSI of the points against the model's training; None where nothing was scored, or the model holds none."""
    reference = model.scorer.training.reference
    return shift_of(tally, reference.points, config.policy.confidence) if reference else None


def figures(tally: Tally, shift: Shift | None) -> dict[str, float]:
    """The metrics that the run's page shows at a glance."""
    rows = max(1, tally.rows)
    shares = {
        "scored": float(tally.rows),
        "approve_share": tally.proposals.get("approve", 0) / rows,
        "mean_probability": tally.probability / rows,
    }
    return shares | ({"psi": shift.psi, "psi_critical": shift.critical} if shift else {})


def page(tally: Tally, shift: Shift | None, scores: Manifest) -> str:
    """The report, as Markdown."""
    rows = max(1, tally.rows)
    approved = tally.proposals.get("approve", 0)
    said = (
        f"PSI of the points against training: **{shift.psi:.3f}**, {shift.verdict} "
        f"(chance alone reaches {shift.critical:.3f} with so many rows)."
        if shift
        else "The stability of the points is not known: nothing was scored, or the model has no points of its training."
    )
    lines = [
        f"# Scores as of {scores.as_of}",
        "",
        f"{tally.rows:,} applications by model `{tally.model}`: {approved:,} to approve ({approved / rows:.1%}), "
        f"{tally.rows - approved:,} to decline; mean probability of bad {tally.probability / rows:.2%}.",
        "",
        said,
        "",
        f"Dataset `s3://{scores.bucket}/{scores.prefix}`, {len(scores.tables['scores'].parts)} files, identity "
        f"`{scores.sha256}`.",
        "",
        *_table("Band", {band: tally.bands.get(band, 0) for band in BANDS}, rows),
        *_table("Points", _ranges({int(points): count for points, count in tally.points.items()}), rows),
        *_table("Reason", dict(sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS]), rows),
    ]
    return "\n".join(lines)


def _ranges(points: dict[int, int]) -> dict[str, int]:
    """Counts by ranges of points, as wide as a multiple of ten allows."""
    if not points:
        return {}
    width = 10 * -(-(max(points) - min(points) + 1) // (10 * _BARS))
    by_range: dict[int, int] = {}
    for value, count in points.items():
        by_range[value // width] = by_range.get(value // width, 0) + count
    return {f"{number * width} to {(number + 1) * width - 1}": by_range[number] for number in sorted(by_range)}


def _table(title: str, counts: dict[str, int], rows: int) -> list[str]:
    lines = [f"| {title} | applications | share | |", "|---|---:|---:|---|"]
    for name, count in counts.items():
        lines.append(f"| {name} | {count:,} | {count / rows:.1%} | {'█' * round(40 * count / rows)} |")
    return [*lines, ""]
