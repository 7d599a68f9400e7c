"""The parameters that a compiled pipeline takes, compared with those that a run is given."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from kfp_runs.answers import InputDefinitions, PipelineSpec, Root, Run
from kfp_runs.errors import Rejected

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


def parameters_of_spec(spec: PipelineSpec) -> dict[str, Parameter]:
    """The parameters of a compiled pipeline."""
    declared = ((spec.inner.root or Root()).input_definitions or InputDefinitions()).parameters
    return {
        name: Parameter(one.parameter_type, one.default_value is msgspec.UNSET and not one.is_optional)
        for name, one in declared.items()
    }


def check_parameters(given: Mapping[str, Any], known: Mapping[str, Parameter], pipeline: str) -> None:
    """Compare the parameters that a run is given with those that its pipeline takes.

    Raises:
        Rejected: One is unknown (the nearest is offered), one is missing, or they are too many bytes.
    """
    for name in given:
        if name not in known:
            raise Rejected(
                f"The pipeline '{pipeline}' has no parameter '{name}'{nearest(name, known)}; "
                f"it takes {', '.join(sorted(known)) or 'none'}."
            )
    missing = [name for name, parameter in known.items() if parameter.required and name not in given]
    if missing:
        raise Rejected(f"The pipeline '{pipeline}' needs the parameter '{missing[0]}', which is not given.")
    size = len(msgspec.json.encode(dict(given)))
    if size > _LARGEST:
        raise Rejected(
            f"The parameters for the pipeline '{pipeline}' take {size} bytes and the server accepts {_LARGEST}; "
            "put the content in the object store and give its address."
        )


def same_parameters(run: Run, given: Mapping[str, Any]) -> bool:
    """Whether a run was started with these parameters; the server may have added defaults."""
    started_with = (run.runtime_config.parameters if run.runtime_config else None) or {}
    return all(name in started_with and started_with[name] == value for name, value in given.items())


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a sentence that offers the nearest words, or nothing."""
    near = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
