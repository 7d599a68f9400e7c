"""The small documents that a run is told with or hands on: mapping, configuration, JSON reports."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from components.credit.book.mapping import Mapping, parse_mapping
from components.credit.book.store import Store, access_from_environment
from components.credit.config import Config, parse_config
from components.credit.errors import InputError
from components.credit.typed_yaml import read_text, utf8_refusal

_T = TypeVar("_T")


def read_mapping(place: str) -> Mapping:
    """The mapping at a path or ``s3://`` address.

    Raises:
        InputError: It is not there, or not a mapping.
    """
    return parse_mapping(_text(place), place)


def read_config(place: str) -> Config:
    """The configuration at a path or ``s3://`` address; an empty place means the defaults.

    Raises:
        InputError: It is not there, or not a configuration.
    """
    return parse_config(_text(place) if place else "", place)


def read_json(path: str) -> Any:
    """What a JSON file holds."""
    return msgspec.json.decode(Path(path).read_bytes())


def read_record(path: str, kind: type[_T]) -> _T:
    """The record that a JSON file holds."""
    return msgspec.json.decode(Path(path).read_bytes(), type=kind)


def write_json(path: str, document: object) -> None:
    """Write a document as JSON, the same bytes for the same content."""
    Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1))


def _text(place: str) -> str:
    if place.startswith("s3://"):
        bucket, _, key = place.removeprefix("s3://").partition("/")
        try:
            return Store(access_from_environment()).read(bucket, key).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(utf8_refusal(place, error)) from error
    return read_text(Path(place))
