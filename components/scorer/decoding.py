"""JSON bodies as typed values, with one sentence where they are not."""

from typing import TypeVar

import msgspec

from components.credit.errors import InputError

_T = TypeVar("_T")


def decoded(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_T], what: str) -> _T:
    """A typed value from JSON.

    Args:
        body: JSON.
        decoder: Decoder of the type expected.
        what: What it is, for the message, such as ``The request``.

    Raises:
        InputError: Not JSON, not UTF-8, nested too deep, a missing field, a wrong type or a value out of range.
    """
    try:
        return decoder.decode(body)
    except RecursionError as error:
        raise InputError(f"{what} is nested too deep.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not UTF-8.") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{what} does not fit: {error}.") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{what} is not JSON: {error}.") from error
