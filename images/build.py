"""Builds the images with podman or docker, tags them by what goes in, and says how large they are.

The environment chooses: ENGINE (podman or docker, whichever is there), BASE (image with Python 3.11 to 3.13), CA (file
with a company's certificate authority, used while building and not kept), REGISTRY (where the images are to live; they
are pushed there when PUSH=1), IMAGES (names, default all). For each image it writes ``build/images/<name>.cdx.json``
(CycloneDX SBOM), and for all ``build/images/images.json``: name to reference and bytes, and ``images.env``, with which
pipelines compile on these images.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from components.container import image_variable

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("ingest", "validate", "feature", "train-sklearn", "train-xgboost", "evaluate", "deploy", "score", "monitor")
IMAGES = (*STAGES, "scorer", "exporter", "airflow")
SHARED = (
    "pyproject.toml",
    "images/Dockerfile",
    "images/install",
    "images/kept_cache.py",
    "images/constraints.txt",
    "components/__init__.py",
    "components/container.py",
    "components/credit",
)


@dataclass(frozen=True)
class Built:
    """An image that was built: its reference, and its bytes as stored and compressed."""

    reference: str
    bytes: int
    compressed: int


def content_tag(image: str, base: str) -> str:
    """First 12 hex of the SHA-256 over all that goes into an image: the KFP cache key is the image's name alone."""
    own = f"components/{image.replace('-', '_')}"
    places = ("images/Dockerfile", "airflow") if image == "airflow" else (*SHARED, own)
    if image == "exporter":
        places = (*places, "airflow/kfp_runs/src")
    digest = hashlib.sha256(f"{image}\0{base}\0".encode())
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def build(image: str, engine: str, base: str, registry: str, ca: str | None) -> str:
    """Build one image and give its reference."""
    tag = content_tag(image, base)
    reference = f"{registry}/quipu/{image}:{tag}" if registry else f"localhost/quipu/{image}:{tag}"
    command = [engine, "build", "--quiet", "--file", "images/Dockerfile", "--target", image, "--tag", reference]
    command += ["--build-arg", f"BASE={base}", "--label", f"org.opencontainers.image.revision={tag}"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for name, value in (("title", f"quipu-{image}"), ("version", version), ("base.name", base)):
        command += ["--label", f"org.opencontainers.image.{name}={value}"]
    if ca:
        command += ["--secret", f"id=ca,src={ca}"]
    if engine == "podman":
        command += ["--network", "host"]
    subprocess.run([*command, "."], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return reference


def pushed(engine: str, reference: str) -> str:
    """Push an image to its registry and give its reference by digest, which no later push can change."""
    local = reference.startswith(("127.0.0.1", "localhost"))
    flags = ["--tls-verify=false"] if local and engine == "podman" else []
    subprocess.run([engine, "push", "--quiet", *flags, reference], check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run(
        [engine, "image", "inspect", "--format", '{{join .RepoDigests " "}}', reference],
        check=True,
        capture_output=True,
        text=True,
    )
    name = reference.rpartition(":")[0]
    return next(digest for digest in shown.stdout.split() if digest.startswith(f"{name}@"))


def sizes(engine: str, reference: str, packed: dict[str, int]) -> tuple[int, int]:
    """Bytes of an image as stored, and of its layers compressed as a registry keeps them.

    Args:
        engine: podman or docker.
        reference: The image.
        packed: Compressed bytes of the layers seen so far; those of this image are added.
    """
    shown = subprocess.run(
        [engine, "image", "inspect", "--format", "{{.Size}}", reference], check=True, capture_output=True, text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        subprocess.run([engine, "save", "--output", str(archive), reference], check=True, capture_output=True)
        with tarfile.open(archive) as opened:
            (image,) = json.loads(_member(opened, "manifest.json").read())
            for layer in image["Layers"]:
                if layer not in packed:
                    packed[layer] = _compressed(_member(opened, layer))
        return int(shown.stdout), sum(packed[layer] for layer in image["Layers"])


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    opened = archive.extractfile(name)
    assert opened is not None, f"{name} is not a file"
    return opened


def _compressed(layer: IO[bytes]) -> int:
    deflate, total = zlib.compressobj(6, zlib.DEFLATED, 31), 0
    while block := layer.read(1 << 20):
        total += len(deflate.compress(block))
    return total + len(deflate.flush())


def bill_of_materials(engine: str, reference: str, target: Path) -> None:
    """Write the CycloneDX SBOM of an image: its Python packages, and those of Debian below them."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(_printed(engine, reference, "pip", "freeze"))
        subprocess.run(
            [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON",
             "-o", str(target), str(requirements)],
            check=True,
        )  # fmt: skip
    bill = json.loads(target.read_text(encoding="utf-8"))
    for line in _printed(engine, reference, "dpkg-query", "-W", "-f", "${Package} ${Version}\\n").splitlines():
        name, version = line.split()
        purl = f"pkg:deb/debian/{name}@{quote(version)}"
        bill["components"].append({"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl})
    target.write_text(json.dumps(bill, indent=2), encoding="utf-8")


def _printed(engine: str, reference: str, program: str, *arguments: str) -> str:
    """What a program in an image prints."""
    command = [engine, "run", "--rm", "--network", "none", "--entrypoint", program, reference, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Build what the environment asks for and print the table."""
    engine = os.environ.get("ENGINE") or next((name for name in ("podman", "docker") if shutil.which(name)), None)
    if engine is None:
        sys.exit("Neither podman nor docker is installed; install one of them.")
    base = os.environ.get("BASE") or "python:3.13-slim"
    registry = os.environ.get("REGISTRY", "").rstrip("/")
    folder = ROOT / "build" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    built: dict[str, Built] = {}
    packed: dict[str, int] = {}
    print(f"{'image':<16}{'MB':>8}{'MB compressed':>16}  reference")
    for image in os.environ.get("IMAGES", "").split() or IMAGES:
        reference = build(image, engine, base, registry, os.environ.get("CA"))
        bill_of_materials(engine, reference, folder / f"{image}.cdx.json")
        stored, compressed = sizes(engine, reference, packed)
        if os.environ.get("PUSH") == "1":
            reference = pushed(engine, reference)
        built[image] = Built(reference, stored, compressed)
        print(f"{image:<16}{stored / 1e6:>8.0f}{compressed / 1e6:>16.0f}  {reference}", flush=True)
    listed = folder / "images.json"
    known = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    known |= {name: vars(one) for name, one in built.items()}
    listed.write_text(json.dumps(known, indent=1), encoding="utf-8")
    variables = [f"{image_variable(name)}={one['reference']}\n" for name, one in known.items()]
    (folder / "images.env").write_text("".join(variables))


if __name__ == "__main__":
    main()
