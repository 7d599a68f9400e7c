"""YAML documents that people write, mapping and configuration: as typed values, or one sentence on what is wrong."""

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from components.credit.errors import InputError, nearest

_MOST_CHARACTERS = 1 << 20  # the largest mapping known here has 10,000
_T = TypeVar("_T")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        InputError: It does not exist, may not be read, or is in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(utf8_refusal(str(path), error)) from error


def utf8_refusal(name: str, error: UnicodeDecodeError) -> str:
    """The sentence that says where a text is not UTF-8, and what it is likelier to be."""
    likely = "UTF-16" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else "Latin-1"
    line = 1 + error.object[: error.start].count(b"\n")
    return f"{name} line {line} is not UTF-8 text, more likely {likely}; save the file as UTF-8."


def parse_yaml(text: str, name: str, kind: type[_T]) -> _T:
    """A typed value from YAML, with one sentence where it does not fit.

    Args:
        text: YAML.
        name: File name, for the message.
        kind: The Struct that it must be.

    Raises:
        InputError: Not YAML, a key that stands twice in one place, an unknown key (with the nearest right one) or a
            value out of range, with its place.
    """
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"{name} has {len(text):,} characters, more than any mapping; see that it is the right file.")
    try:
        loaded = yaml.load(text, _loader(name))  # noqa: S506 - a safe loader that refuses keys that stand twice
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise InputError(
            f"{name}{where} is not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}."
        ) from error
    except RecursionError as error:
        raise InputError(f"{name} has brackets or lists too deep in each other; write it flatter.") from error
    try:
        return msgspec.convert({} if loaded is None else loaded, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}: {_explain(str(error), kind)}") from error


def _loader(name: str) -> type[yaml.SafeLoader]:
    """A safe loader that refuses a key that stands twice: YAML's own would take the last one without a word."""

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    line, known = key.start_mark.line + 1, lines.get((key.tag, key.value))
                    if known:
                        both = f"in line {known} and again in line {line}" if known != line else f"twice in line {line}"
                        raise InputError(f"{name}: the key {key.value!r} stands {both}; keep one of them.")
                    lines[key.tag, key.value] = line
            return super().construct_mapping(node, deep)

    return Loader


def _explain(message: str, kind: type) -> str:
    """Msgspec's message as a sentence, with the nearest known key where one is unknown."""
    _, found, rest = message.replace("Object contains ", "").partition("unknown field `")
    if not found:
        # YAML reads a bare 1, NO or 2024-01-31 as a number, a truth value or a date.
        quoted = "; put it in quotes" if re.match("Expected `.*str.*`, got `(int|float|bool|date)", message) else ""
        return message.rstrip(".") + quoted + "."
    key, _, place = rest.partition("`")
    return f"unknown key '{key}'{place.replace(' - at', ' at').replace('`', '')}{nearest(key, _keys(kind)) or '.'}"


def _keys(kind: type) -> set[str]:
    """All keys that a Struct and the Structs within it know."""
    keys: set[str] = set()
    pending: list[object] = [msgspec.inspect.type_info(kind)]
    seen: set[int] = set()
    while pending:
        info = pending.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if id(info.cls) in seen:
                continue
            seen.add(id(info.cls))
            for field in info.fields:
                keys.add(field.encode_name)
                pending.append(field.type)
        elif isinstance(info, msgspec.inspect.UnionType):
            pending.extend(info.types)
        elif isinstance(info, msgspec.inspect.DictType):
            pending.append(info.value_type)
        elif isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
            pending.append(info.item_type)
    return keys
