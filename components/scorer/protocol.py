"""The Open Inference Protocol V2 (REST), so that any client of KServe or Triton can ask the scorer.

Source: kserve/open-inference-protocol, ``inference_rest.md`` and ``open_inference_rest.yaml``. Inputs are one tensor a
feature, shape [n] or [n, 1]; where all features are numbers, also one tensor of shape [n, features] in the order of
the metadata. JSON has no NaN: ``null`` means missing. Data may be flat or nested, row by row. Inputs may also come
as bytes behind the JSON (the binary extension, which Triton's client uses by default; there NaN means missing); outputs
are always JSON.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field, structs

from components.credit.dictionary import Feature
from components.credit.errors import InputError, nearest
from components.credit.models.binning import Columns
from components.credit.models.matrix import MatrixColumns
from components.scorer.decoding import decoded

PROBABILITY, POINTS, EXPLANATION = "probability", "points", "reasons"
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]  # fmt: skip
# Numpy's names of the datatypes that hold numbers, in the byte order of the binary extension.
_NUMBERS = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
# Where numbers stop being finite in a shorter datatype, since they are rounded to it.
_OVERFLOW = {"FP16": 65_520.0, "FP32": 2.0**128 - 2.0**103}


def _decoders(of: Any) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    """Decoders of values: flat, and row by row."""
    return msgspec.json.Decoder(list[of | None]), msgspec.json.Decoder(list[list[of | None]])


def _whole(datatype: str) -> Any:
    """The type of a whole number in JSON, as far as 64 bits with a sign hold it."""
    limits = np.iinfo(np.dtype(_NUMBERS[datatype]))
    return Annotated[int, Meta(ge=int(limits.min), le=min(int(limits.max), 2**63 - 1))]


_VALUES = {
    "BYTES": _decoders(str),
    "BOOL": _decoders(bool),
    **{name: _decoders(float if name.startswith("FP") else _whole(name)) for name in _NUMBERS if name != "BOOL"},
}


class Tensor(Struct, frozen=True):
    """An input: values in row-major order, flat or nested; without them, they lie behind the JSON."""

    name: str
    shape: list[Annotated[int, Meta(ge=0)]]
    datatype: Datatype
    data: Raw | UnsetType = UNSET
    parameters: dict[str, str | int | float | bool] | None = None


class BinaryTensor(Tensor, frozen=True, kw_only=True):
    """An input whose values lay behind the JSON."""

    content: bytes


class RequestedOutput(Struct, frozen=True):
    """An output that the client wants."""

    name: str


class InferenceRequest(Struct, frozen=True):
    """What ``infer`` takes; fields that the protocol does not name are left aside."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, str | int | float | bool] | None = None


class OutputTensor(Struct, frozen=True):
    """An output, flat, in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: Sequence[float | int | str]


class InferenceResponse(Struct, frozen=True, omit_defaults=True):
    """What ``infer`` answers; its parameters hold the decision's id."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None
    parameters: dict[str, str] | None = None


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
            TensorMetadata(EXPLANATION, "BYTES", [-1, reasons]),
        ],
    )


def read_request(body: bytes, head: int = 0) -> InferenceRequest:
    """The request in a body, with outputs that exist.

    Args:
        body: JSON, and tensors behind it.
        head: Bytes of the JSON; 0 where it is all.

    Raises:
        InputError: It is not a request of the protocol, or asks for an output that no model has, or for one twice.
    """
    request = decoded(body[:head] if head else body, _REQUEST, "The request")
    asked: set[str] = set()
    for output in request.outputs or ():
        if output.name in asked:  # else an answer could be many times as long as its request
            raise InputError(f"The output '{output.name}' is asked for twice.")
        asked.add(output.name)
        if output.name not in (PROBABILITY, POINTS, EXPLANATION):
            raise InputError(
                f"The model has no output '{output.name}'; ask for {PROBABILITY}, {POINTS} or {EXPLANATION}."
            )
    if head:
        return structs.replace(request, inputs=list(_with_content(request.inputs, body[head:])))
    return request


def _with_content(inputs: list[Tensor], behind: bytes) -> Iterator[Tensor]:
    """The inputs in order; those without data get their bytes from ``behind``, the rest of the body."""
    start = 0
    for tensor in inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if tensor.data is not UNSET or size is None:
            yield tensor
            continue
        if not isinstance(size, int) or not 0 <= size <= len(behind) - start:
            raise InputError(f"The input '{tensor.name}' says that it has {size} bytes, which are not there.")
        yield BinaryTensor(tensor.name, tensor.shape, tensor.datatype, content=behind[start : start + size])
        start += size
    if start != len(behind):
        raise InputError(f"There are {len(behind) - start} bytes behind the request that no input names.")


def wanted(request: InferenceRequest) -> list[str]:
    """Outputs to give: those asked for, else all but the reasons, which cost more than the rest together."""
    return [output.name for output in request.outputs] if request.outputs else [PROBABILITY, POINTS]


class Inputs(dict[str, Feature]):
    """A model's features by name, in order, with what each request would else look up again.

    Args:
        features: The features.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        super().__init__({feature.name: feature for feature in features})
        self.positions = {feature.name: position for position, feature in enumerate(features)}
        self.category = next((feature.name for feature in features if feature.type == "category"), None)


def feature_columns(request: InferenceRequest, features: Inputs) -> tuple[Columns, int]:
    """The rows of an inference request, by column.

    Args:
        request: The request.
        features: The model's features.

    Returns:
        An array by feature name (float64 with NaN where missing, or text with None), and the number of rows.

    Raises:
        InputError: A tensor is missing, unknown or twice there, of a wrong type, or its data do not fit its shape.
    """
    inputs = request.inputs
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].name not in features:
        return _from_matrix(inputs[0], features)
    columns: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}
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
            expected = "FP64 or another type of numbers" if feature.type == "number" else "BYTES"
            raise InputError(f"The input '{tensor.name}' has datatype {tensor.datatype}; give {expected}.")
        columns[tensor.name] = _array(tensor)
    if len(columns) < len(features):
        absent = [name for name in features if name not in columns]
        others = f" and {len(absent) - 1} others" if len(absent) > 1 else ""
        raise InputError(f"The input '{absent[0]}'{others} is missing; give null where a value is not known.")
    if rows < 1:
        raise InputError("The request has no rows.")
    return columns, rows


def _from_matrix(tensor: Tensor, features: Inputs) -> tuple[Columns, int]:
    rows, width = tensor.shape
    if width != len(features):
        raise InputError(
            f"The input '{tensor.name}' has rows of {width} values; the model has {len(features)} features."
        )
    if features.category:
        raise InputError(
            f"The model's input '{features.category}' is a category; give one tensor a feature, not one in all."
        )
    if tensor.datatype not in _NUMBERS:
        raise InputError(
            f"The input '{tensor.name}' has datatype {tensor.datatype}; give FP64 or another type of numbers."
        )
    if rows < 1:
        raise InputError("The request has no rows.")
    return MatrixColumns(features.positions, _array(tensor).reshape(rows, width)), rows


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """A tensor's values in row-major order, shape (product of its shape,): float64, or text as objects."""
    if isinstance(tensor, BinaryTensor):
        return _from_bytes(tensor)
    if tensor.data is UNSET:
        raise InputError(f"The input '{tensor.name}' has no data.")
    flat, nested = _VALUES[tensor.datatype]
    what = f"The data of '{tensor.name}'"
    if len(tensor.shape) == 2 and bytes(memoryview(tensor.data)[1:16]).lstrip()[:1] == b"[":
        by_row = decoded(tensor.data, nested, what)
        _check_count(tensor, len(by_row), tensor.shape[0], "rows")
        for row in by_row:
            _check_count(tensor, len(row), tensor.shape[1], "values in a row")
        values = by_row[0] if len(by_row) == 1 else [value for row in by_row for value in row]
    else:
        values = decoded(tensor.data, flat, what)
        _check_count(tensor, len(values), math.prod(tensor.shape), "values")
    if tensor.datatype == "BYTES":
        return np.array(values, dtype=object)
    array = np.array(values, dtype=np.float64)
    if tensor.datatype in _OVERFLOW:
        if np.count_nonzero(np.abs(array) >= _OVERFLOW[tensor.datatype]):
            raise InputError(f"{what} holds a number that {tensor.datatype} cannot; use FP64.")
        array = array.astype(_NUMBERS[tensor.datatype]).astype(np.float64)
    return array


def _from_bytes(tensor: BinaryTensor) -> np.ndarray[Any, np.dtype[Any]]:
    """A tensor's values from its bytes; four bytes with its length stand before each text."""
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        texts: list[str] = []
        start = 0
        try:
            while start < len(tensor.content):
                (size,) = struct.unpack_from("<I", tensor.content, start)
                start += 4 + size
                texts.append(tensor.content[start - size : start].decode())
            if start > len(tensor.content):
                raise struct.error
        except (struct.error, UnicodeDecodeError) as error:
            raise InputError(f"The bytes of '{tensor.name}' are not texts in UTF-8, each with its length.") from error
        _check_count(tensor, len(texts), count, "values")
        return np.array(texts, dtype=object)
    kind = np.dtype(_NUMBERS[tensor.datatype])
    _check_count(tensor, len(tensor.content), count * kind.itemsize, "bytes")
    array = np.frombuffer(tensor.content, dtype=kind).astype(np.float64)
    if np.count_nonzero(np.isinf(array)):
        raise InputError(f"The bytes of '{tensor.name}' hold an infinite number; NaN means missing.")
    return array


def _check_count(tensor: Tensor, count: int, expected: int, unit: str) -> None:
    if count != expected:
        raise InputError(f"The input '{tensor.name}' has shape {tensor.shape}, but its data hold {count} {unit}.")
