"""The Open Inference Protocol V2 (REST), so that any client of KServe or Triton can ask the scorer.

Source: kserve/open-inference-protocol, ``inference_rest.md`` and ``open_inference_rest.yaml``. Inputs are one tensor a
feature, shape [n] or [n, 1]; where all features are numbers, also one tensor of shape [n, features] in the order of
the metadata. JSON has no NaN: ``null`` means missing. Data may be flat or nested, row by row.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct, field

from components.credit.dictionary import Feature
from components.credit.errors import InputError, nearest
from components.score.decoding import decoded

PROBABILITY, POINTS, REASONS = "probability", "points", "reasons"
Columns = dict[str, np.ndarray[Any, np.dtype[Any]]]
_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# Each datatype's values: flat, and row by row.
_VALUES: dict[str, tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]] = {
    "FP64": (msgspec.json.Decoder(list[float | None]), msgspec.json.Decoder(list[list[float | None]])),
    "FP32": (msgspec.json.Decoder(list[float | None]), msgspec.json.Decoder(list[list[float | None]])),
    "INT64": (msgspec.json.Decoder(list[_Integer | None]), msgspec.json.Decoder(list[list[_Integer | None]])),
    "BYTES": (msgspec.json.Decoder(list[str | None]), msgspec.json.Decoder(list[list[str | None]])),
}
_NUMBERS = ("FP64", "FP32", "INT64")


class Tensor(Struct, frozen=True):
    """An input: values in row-major order, flat or nested."""

    name: str
    shape: list[Annotated[int, Meta(ge=0)]]
    datatype: Literal["FP64", "FP32", "INT64", "BYTES"]
    data: Raw


class RequestedOutput(Struct, frozen=True):
    """An output that the client wants."""

    name: str


class InferenceRequest(Struct, frozen=True):
    """What ``infer`` takes; fields that the protocol does not name are left aside."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, str | float | bool] | None = None


class OutputTensor(Struct, frozen=True):
    """An output, flat, in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: Sequence[float | int | str]


class InferenceResponse(Struct, frozen=True, omit_defaults=True):
    """What ``infer`` answers."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None


class TensorMetadata(Struct, frozen=True):
    """Name, type and shape of a tensor; -1 is as many rows as are asked for."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Struct, frozen=True):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(Struct, frozen=True):
    """Who answers."""

    name: str
    version: str
    extensions: list[str] = field(default_factory=list)


_REQUEST = msgspec.json.Decoder(InferenceRequest)


def model_metadata(name: str, version: str, family: str, features: Sequence[Feature], reasons: int) -> ModelMetadata:
    """What the model takes and gives; ``reasons`` is how many a row gets at most."""
    return ModelMetadata(
        name,
        [version],
        "quipu_json" if family == "scorecard" else "xgboost_ubj",
        [TensorMetadata(feature.name, "FP64" if feature.type == "number" else "BYTES", [-1]) for feature in features],
        [
            TensorMetadata(PROBABILITY, "FP64", [-1]),
            TensorMetadata(POINTS, "INT64", [-1]),
            TensorMetadata(REASONS, "BYTES", [-1, reasons]),
        ],
    )


def read_request(body: bytes) -> InferenceRequest:
    """The request in a body, with outputs that exist.

    Raises:
        InputError: It is not a request of the protocol, or asks for an output that no model has.
    """
    request = decoded(body, _REQUEST, "The request")
    for output in request.outputs or ():
        if output.name not in (PROBABILITY, POINTS, REASONS):
            raise InputError(f"The model has no output '{output.name}'; ask for {PROBABILITY}, {POINTS} or {REASONS}.")
    return request


def wanted(request: InferenceRequest) -> list[str]:
    """Outputs to give: those asked for, else all but the reasons, which cost more than the rest together."""
    return [output.name for output in request.outputs] if request.outputs else [PROBABILITY, POINTS]


def columns_of(request: InferenceRequest, features: Mapping[str, Feature]) -> tuple[Columns, int]:
    """The request's rows, by column.

    Args:
        request: The request.
        features: The model's features by name, in order.

    Returns:
        An array by feature name (float64 with NaN where missing, or text with None), and the number of rows.

    Raises:
        InputError: A tensor is missing, unknown or twice there, of a wrong type, or its data do not fit its shape.
    """
    inputs = request.inputs
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].name not in features:
        return _from_matrix(inputs[0], features)
    columns: Columns = {}
    rows = -1
    for tensor in inputs:
        feature = features.get(tensor.name)
        if feature is None:
            raise InputError(f"The model has no input '{tensor.name}'{nearest(tensor.name, features) or '.'}")
        if tensor.name in columns:
            raise InputError(f"The input '{tensor.name}' is given twice.")
        shape = tensor.shape
        if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
            raise InputError(f"The input '{tensor.name}' has shape {shape}; give [n] or [n, 1].")
        if rows not in (-1, shape[0]):
            raise InputError(f"The input '{tensor.name}' has {shape[0]} rows where others have {rows}.")
        rows = shape[0]
        if (feature.type == "number") != (tensor.datatype in _NUMBERS):
            expected = "FP64, FP32 or INT64" if feature.type == "number" else "BYTES"
            raise InputError(f"The input '{tensor.name}' has datatype {tensor.datatype}; give {expected}.")
        columns[tensor.name] = _array(tensor)
    if len(columns) < len(features):
        absent = [name for name in features if name not in columns]
        others = f" and {len(absent) - 1} others" if len(absent) > 1 else ""
        raise InputError(f"The input '{absent[0]}'{others} is missing; give null where a value is not known.")
    if rows < 1:
        raise InputError("The request has no rows.")
    return columns, rows


def _from_matrix(tensor: Tensor, features: Mapping[str, Feature]) -> tuple[Columns, int]:
    rows, width = tensor.shape
    category = next((name for name, feature in features.items() if feature.type == "category"), None)
    if category:
        raise InputError(f"The model's input '{category}' is a category; give one tensor a feature, not one in all.")
    if tensor.datatype not in _NUMBERS:
        raise InputError(f"The input '{tensor.name}' has datatype {tensor.datatype}; give FP64, FP32 or INT64.")
    if width != len(features):
        raise InputError(
            f"The input '{tensor.name}' has rows of {width} values; the model has {len(features)} features."
        )
    if rows < 1:
        raise InputError("The request has no rows.")
    matrix = _array(tensor).reshape(rows, width)
    return dict(zip(features, matrix.T, strict=True)), rows


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """A tensor's values in row-major order, shape (product of its shape,)."""
    flat, nested = _VALUES[tensor.datatype]
    what = f"The data of '{tensor.name}'"
    if len(tensor.shape) == 2 and bytes(memoryview(tensor.data)[1:16]).lstrip()[:1] == b"[":
        by_row = decoded(tensor.data, nested, what)
        _check_count(tensor, len(by_row), tensor.shape[0], "rows")
        for row in by_row:
            _check_count(tensor, len(row), tensor.shape[1], "values in a row")
        values = [value for row in by_row for value in row]
    else:
        values = decoded(tensor.data, flat, what)
        _check_count(tensor, len(values), math.prod(tensor.shape), "values")
    if tensor.datatype == "BYTES":
        return np.array(values, dtype=object)
    array = np.array(values, dtype=np.float64)
    if tensor.datatype == "FP32":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32).astype(np.float64)
        if np.isinf(array).any():
            raise InputError(f"{what} holds a number that FP32 cannot; use FP64.")
    return array


def _check_count(tensor: Tensor, found: int, expected: int, of_what: str) -> None:
    if found != expected:
        raise InputError(f"The input '{tensor.name}' has shape {tensor.shape}, but its data hold {found} {of_what}.")
