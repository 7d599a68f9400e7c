"""What goes into each image: the files that its build sees, and the tag that names them all."""

import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path

from images.closure import PACKAGES, closure, data_beside, kernels, others
from images.layers import dockerfile, layers, pins

STAGES = ("ingest", "validate", "feature", "train-sklearn", "train-xgboost", "evaluate", "deploy", "score", "monitor")
IMAGES = (*STAGES, "scorer", "exporter", "airflow", "minio")
# MinIO publishes no images any more: its server and client, as Go modules of their last source.
PROGRAMS = {
    "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
    "mc": "github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9",
}
_AIRFLOW = ("constraints.txt", "requirements.in", "image.in", "kfp_runs", "provider", "dags")
_RUN = ("install",)  # what a build runs


def entry(image: str, root: Path) -> Path:
    """The module that an image runs: the interface of a stage, or the program of a service."""
    folder = root / "components" / image.replace("-", "_")
    return folder / ("component.py" if image in STAGES else "__main__.py")


def modules(image: str, root: Path) -> frozenset[Path]:
    """The modules of Quipu in an image: all that its program imports."""
    run = entry(image, root)
    return closure([run], root) - ({run} if image in STAGES else set())


def contents(image: str, root: Path) -> dict[str, bytes]:
    """All that the build of an image sees.

    Args:
        image: One of ``IMAGES``.
        root: Folder of the project.

    Returns:
        Path in the build's folder to content, by path. Of MinIO's programs only the versions; ``build`` compiles them.
    """
    text = dockerfile(image, root)
    laid = {"Dockerfile": text.encode()}
    if image == "minio":
        laid["programs.txt"] = "".join(f"{module}\n" for module in PROGRAMS.values()).encode()
    elif image == "airflow":
        laid |= _files((root / "airflow" / place for place in _AIRFLOW), root, "")
    else:
        laid["install"] = root.joinpath("images", "install").read_bytes()
        for layer in layers(text):
            laid[f"requirements/{layer}.txt"] = "".join(f"{line}\n" for line in pins(layer, root)).encode()
        laid |= _source(modules(image, root), root, "source")
        if "COPY kernels " in text:
            compiled = kernels(root)
            laid |= _source(closure(compiled, root), root, "kernels")
            laid["kernels/kernels.txt"] = "".join(f"{_dotted(path, root)}\n" for path in compiled).encode()
    return dict(sorted(laid.items()))


def content_tag(image: str, base: str, root: Path) -> str:
    """First 12 hex digits of the SHA-256 of an image's contents: KFP's cache key is the image's name alone."""
    digest = hashlib.sha256(f"{image}\0{base}\0".encode())
    for place, content in contents(image, root).items():
        digest.update(f"{place}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def lay_out(laid: dict[str, bytes], folder: Path) -> None:
    """Write what a build sees into a folder, in place of what was there; the same bytes give the same layers.

    numba, too, knows what it compiled by the time of the source: every file is from the same moment.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for place, content in laid.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if place in _RUN else 0o644)
        os.utime(path, (0, 0))
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
            os.utime(path, (0, 0))


def _source(files: frozenset[Path], root: Path, folder: str) -> dict[str, bytes]:
    """Modules with the data beside them; with numba's locator and the project's name and version for those that ask."""
    laid: dict[str, bytes] = {}
    for name, place in PACKAGES.items():
        inside = [file for file in files | data_beside(files) if file.is_relative_to(root / place / name)]
        laid |= _files(inside, root / place, folder)
    if "numba" in others(files):
        laid[f"{folder}/kept_cache.py"] = root.joinpath("images", "kept_cache.py").read_bytes()
    if any("importlib.metadata" in path.read_text(encoding="utf-8") for path in files):
        project = tomllib.loads(root.joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
        place = f"{folder}/{project['name']}-{project['version']}.dist-info/METADATA"
        laid[place] = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n".encode()
    return laid


def _files(places: Iterable[Path], root: Path, folder: str) -> dict[str, bytes]:
    """Files, and all files of folders, under the paths that they have below a root, in a folder of the build's."""
    files = (file for place in places for file in (place.rglob("*") if place.is_dir() else [place]))
    return {
        Path(folder, file.relative_to(root)).as_posix(): file.read_bytes()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


def _dotted(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)
