"""The layers of the images: the stages of the Dockerfile that an image stands on, and the pins that each installs."""

import importlib.metadata
import re
import tomllib
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# An image runs on Linux, under any Python that Quipu runs under.
_LINUX = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"}
_PYTHONS = ("3.11", "3.12", "3.13")
_INSTALLS = re.compile(r"quipu-install ((?:[a-z]+ ?)+)")


def dockerfile(image: str, root: Path) -> str:
    """The Dockerfile of one image: the stages of images/Dockerfile that it stands on or copies from, without comments.

    Raises:
        KeyError: The Dockerfile has no such target.
    """
    lines = root.joinpath("images", "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    head, *stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)
    by_name = {stage.partition("\n")[0].rpartition(" ")[2]: stage.rstrip() for stage in stages}
    needed, waiting = set(), [image]
    while waiting:
        name = waiting.pop()
        needed.add(name)
        named = re.findall(r"^FROM (\S+)|--from=(\S+)", by_name[name], flags=re.MULTILINE)
        waiting += [one for pair in named for one in pair if one in by_name]
    return "\n".join([head.rstrip(), *(stage for name, stage in by_name.items() if name in needed)]) + "\n"


def layers(text: str) -> list[str]:
    """The layers that a Dockerfile installs, each once."""
    return list(dict.fromkeys(name for names in _INSTALLS.findall(text) for name in names.split()))


def pins(layer: str, root: Path) -> list[str]:
    """The lines of images/constraints.txt that a layer installs: what pyproject.toml lists for it, and what that needs.

    Args:
        layer: ``shared``, for what all images share, or one of the optional dependencies.
        root: Folder of the project.

    Raises:
        KeyError: There is no such layer.
    """
    project = tomllib.loads(root.joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = project["dependencies"] if layer == "shared" else project["optional-dependencies"][layer]
    names = distributions(tuple(listed))
    lines = root.joinpath("images", "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if canonicalize_name(line.partition("==")[0]) in names]


@cache
def distributions(listed: tuple[str, ...]) -> frozenset[str]:
    """The distributions that requirements need in an image, by what those installed here say of themselves.

    One that is not installed here, since only another Python needs it, is named without what it needs in turn.

    Args:
        listed: Requirements, such as ``pyjwt[crypto]>=2.10``.

    Returns:
        Normalised names.
    """
    reached: set[tuple[str, str]] = set()
    waiting = [one for line in listed for one in _wanted(line, "")]
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            name, extra = one
            waiting += [other for line in _requires(name) for other in _wanted(line, extra)]
    return frozenset(name for name, _ in reached)


@cache
def _wanted(line: str, extra: str) -> list[tuple[str, str]]:
    """The distribution of a requirement with no extra and with each that it names; nothing where no image needs it."""
    requirement = Requirement(line)
    environments = [_LINUX | {"python_version": python, "python_full_version": f"{python}.99", "extra": extra}
                    for python in _PYTHONS]  # fmt: skip
    if requirement.marker and not any(map(requirement.marker.evaluate, environments)):
        return []
    return [(canonicalize_name(requirement.name), one) for one in ("", *sorted(requirement.extras))]


@cache
def _requires(name: str) -> tuple[str, ...]:
    try:
        return tuple(importlib.metadata.requires(name) or ())
    except importlib.metadata.PackageNotFoundError:
        return ()
