"""What can go wrong in a way that a user can mend.

QuipuError
├── InputError     data, mapping, configuration or command line
├── GateStopped    a limit of the configuration was passed
├── StoreError     the object store is away, full or refuses
├── ModelRefused   a model's hashes, signature or content do not verify
└── ClusterError   the Kubernetes cluster is away, refuses, or cannot start the scorer

The message of each is one sentence that names the place and the remedy. It never holds a value of a
borrower's row: it may be logged.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class QuipuError(Exception):
    """A problem that a user can mend; its text is one sentence on one line, with the place and the remedy.

    Args:
        sentence: The text; what it quotes of a lender's files may hold any character.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(on_one_line(sentence))


class InputError(QuipuError):
    """Data, a mapping, a configuration or an argument is not what it must be."""


class GateStopped(QuipuError):
    """The run was stopped on purpose, since a limit of the configuration was passed."""


class StoreError(QuipuError):
    """The object store is away, full, or refuses."""


class ModelRefused(QuipuError):
    """A model that does not verify, or that does not fit, and so is never loaded."""


class ClusterError(QuipuError):
    """The Kubernetes cluster is away or refuses, or the scorer does not start there."""


def on_one_line(text: str) -> str:
    """The text with line ends, control characters and all else that does not print written as Python escapes them."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a sentence that offers the nearest of ``words``: ``; did you mean 'loans'?`` or nothing."""
    found = get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"; did you mean '{found[0]}'?" if found else ""
