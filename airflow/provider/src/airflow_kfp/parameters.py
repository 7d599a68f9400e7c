"""The parameters that a compiled pipeline takes, compared with those that a task gives."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_kfp.errors import KfpRejected

_LARGEST = 10_000  # bytes of JSON that the server accepts unless it is told otherwise


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pipeline.

    Attributes:
        kind: Type as the compiled pipeline writes it, such as STRING or NUMBER_INTEGER.
        required: Whether a run must give it.
    """

    kind: str
    required: bool


def parameters_of_spec(spec: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters of a compiled pipeline, with or without a platform spec beside it."""
    inner = spec.get("pipeline_spec")
    root = (inner if isinstance(inner, Mapping) else spec).get("root") or {}
    declared = (root.get("inputDefinitions") or {}).get("parameters") or {}
    return {
        name: Parameter(
            kind=str(one.get("parameterType", "")),
            required="defaultValue" not in one and not one.get("isOptional"),
        )
        for name, one in declared.items()
    }


def check_parameters(given: Mapping[str, Any], known: Mapping[str, Parameter], pipeline: str) -> None:
    """Compare the parameters of a task with those that its pipeline takes.

    Raises:
        KfpRejected: One is unknown (the nearest is offered), one is missing, or they are too many bytes.
    """
    for name in given:
        if name not in known:
            raise KfpRejected(
                f"The pipeline '{pipeline}' has no parameter '{name}'{nearest(name, known)}; "
                f"it takes {', '.join(sorted(known)) or 'none'}."
            )
    missing = [name for name, parameter in known.items() if parameter.required and name not in given]
    if missing:
        raise KfpRejected(
            f"The pipeline '{pipeline}' needs the parameter '{missing[0]}', which the task does not give."
        )
    size = len(json.dumps(dict(given)))
    if size > _LARGEST:
        raise KfpRejected(
            f"The parameters for the pipeline '{pipeline}' take {size} bytes and the server accepts {_LARGEST}; "
            "put the content in the object store and give its address."
        )


def same_parameters(run: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a run was started with these parameters; the server may have added defaults."""
    started_with = (run.get("runtime_config") or {}).get("parameters") or {}
    return all(name in started_with and started_with[name] == value for name, value in given.items())


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a sentence that offers the nearest words, or nothing."""
    near = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
