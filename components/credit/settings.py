"""The settings of a process: environment variables, read into a Struct whose fields bear their names.

```python
class ExporterSettings(Struct, frozen=True):
    port: Annotated[int, Meta(ge=1, le=65_535)] = field(name="QUIPU_METRICS_PORT", default=9090)
```

The Structs are also what the page of settings in ``docs/`` is made from: a field's text stands under ``Args:`` of its
Struct, its default and its limits beside its type.
"""

import os
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from components.credit.errors import InputError

# A setting that may also be given as a file, whose path is in <variable>_FILE, as secrets are mounted in a pod.
Secret = Annotated[str, Meta(extra={"file": True})]

_T = TypeVar("_T", bound=msgspec.Struct)
_NUMBERS: dict[type[msgspec.inspect.Type], str] = {
    msgspec.inspect.IntType: "a whole number",
    msgspec.inspect.FloatType: "a number",
}


def read_settings(kind: type[_T]) -> _T:
    """The settings that the environment gives; an empty variable counts as one that is not set.

    Args:
        kind: Struct with a field a variable: its encoded name is the variable's.

    Raises:
        InputError: A variable that is required is not set, or a value does not fit its type.
    """
    values: dict[str, object] = {}
    for setting in msgspec.structs.fields(kind):
        name, info = setting.encode_name, msgspec.inspect.type_info(setting.type)
        if isinstance(info, msgspec.inspect.Metadata):  # a Secret
            values[setting.name] = secret(name)
        elif value := os.environ.get(name, "").strip():
            try:
                values[setting.name] = msgspec.convert(value, setting.type, strict=False)
            except msgspec.ValidationError as error:
                raise InputError(f"{name} is '{value}'; give {expected(info)}.") from error
        elif setting.required:
            raise InputError(f"{name} is not set; give it in the environment.")
    return kind(**values)


def expected(info: msgspec.inspect.Type) -> str:
    """What a setting of this type takes, in words: ``a whole number from 1 to 65535``."""
    if isinstance(info, msgspec.inspect.UnionType):  # with None, which stands for a setting that is not given
        return expected(info.types[0])
    if isinstance(info, msgspec.inspect.BoolType):
        return "true or false"
    if isinstance(info, msgspec.inspect.LiteralType):
        return " or ".join(f"'{value}'" for value in info.values)
    if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        least = "" if info.ge is None else f" from {info.ge:g}"
        return _NUMBERS[type(info)] + least + ("" if info.le is None else f" to {info.le:g}")
    return "a text"


def secret(name: str) -> str:
    """A secret from the environment variable ``name``, or from the file that ``<name>_FILE`` names.

    Raises:
        InputError: Neither is there, or the file cannot be read.
    """
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputError(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error
    value = os.environ.get(name)
    if not value:
        raise InputError(f"{name} is not set; give it in the environment, or a file that holds it in {name}_FILE.")
    return value
