"""The revision of the code, by its content, so that it is the same in a checkout, an image and a wheel."""

import hashlib
from functools import cache
from pathlib import Path

import components

_COMPILED = "component.yaml"
_SUFFIXES = {".py", ".sql", ".html", ".css", ".json", ".yaml"}


@cache
def code_revision() -> str:
    """First 12 hex digits of the SHA-256 over the files of the components.

    What they compile to is left out: it follows from them, and names images, on which a result does not rest.
    """
    root = Path(components.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in _SUFFIXES and path.name != _COMPILED):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
