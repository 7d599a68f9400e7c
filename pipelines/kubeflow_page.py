"""The page that a run's link leads to, as Airflow shows it: what ran, how it stands, where its results are."""

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# A link ends in #/runs/details/<run>; the browser goes to the element of that name and marks it.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Runs</title><style>
body {{ font: 16px system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
section {{ border: 1px solid #ccc; border-radius: 8px; margin: 1rem 0; padding: 0 1rem; }}
section:target {{ border-color: #1d4ed8; box-shadow: 0 0 0 3px #bfdbfe; }}
.SUCCEEDED {{ color: #15803d; }} .FAILED, .CANCELED {{ color: #b91c1c; }}
code {{ overflow-wrap: anywhere; }}
</style></head><body><h1>Runs on this machine</h1>{runs}</body></html>
"""
_RUN = """<section id="/runs/details/{run_id}"><h2>{name} · <span class="{state}">{state}</span></h2>
<p>{created_at} · <code>{run_id}</code></p><ul>{tasks}</ul><p>Results: <code>{folder}</code></p></section>
"""


def page(runs: Iterable[Mapping[str, Any]], folder: Path) -> str:
    """The page of all runs.

    Args:
        runs: The runs as the API tells them.
        folder: Folder that holds them.
    """
    return _PAGE.format(runs="".join(_section(run, folder) for run in runs) or "<p>There is none yet.</p>")


def _section(run: Mapping[str, Any], folder: Path) -> str:
    tasks = [task for task in run["run_details"]["task_details"] if task["display_name"] != "executor"]
    return _RUN.format(
        run_id=html.escape(run["run_id"]),
        name=html.escape(run["display_name"] or "A run"),
        state=run["state"],
        created_at=run["created_at"],
        tasks="".join(
            f'<li>{html.escape(task["display_name"])} <span class="{task["state"]}">{task["state"]}</span></li>'
            for task in tasks
        ),
        folder=html.escape(str(_results(folder / run["run_id"]))),
    )


def _results(folder: Path) -> Path:
    """A report that the run has written, else the folder of its artifacts."""
    reports = sorted((folder / "pipeline").glob("*/evaluate/report"))
    return reports[-1] if reports else folder / "pipeline"
