"""Keys of the embedded default: made once, kept beside the runs, readable by their owner only."""

import os
import secrets
from pathlib import Path

from components.credit.release.signing import new_key_pair

_NAMES = {
    "QUIPU_PSEUDONYM_KEY": "pseudonym.key",
    "QUIPU_SIGNING_KEY": "signing.pem",
    "QUIPU_VERIFY_KEY": "verify.pem",
}


def key_environment(folder: Path) -> dict[str, str]:
    """Environment variables that name the key files in ``folder``, made where they are missing.

    A key that the environment gives already goes before the one in the folder. The pseudonym key stays the same from
    run to run, so that the same input gives the same tokens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "pseudonym.key").exists():
        _write(folder / "pseudonym.key", secrets.token_hex(32))
    if not (folder / "verify.pem").exists():
        private, public = new_key_pair()
        _write(folder / "signing.pem", private)
        _write(folder / "verify.pem", public)
    return {
        f"{name}_FILE": str((folder / file).resolve())
        for name, file in _NAMES.items()
        if name not in os.environ and f"{name}_FILE" not in os.environ
    }


def _write(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
