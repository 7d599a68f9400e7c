"""Builds the images with podman or docker, tags them by what goes in, and says how large they are.

The environment chooses: ENGINE (podman or docker, whichever is there), BASE (image with Python 3.11 to 3.13), CA (file
with a company's certificate authority, used while building and not kept), REGISTRY (where the images are to live; they
are pushed there when PUSH=1), IMAGES (names, default all). Each image is built from ``build/images/context/<name>/``,
which holds what it needs and no more. For each it writes ``build/images/<name>.cdx.json`` (CycloneDX SBOM), and for all
``build/images/images.json``: name to reference and bytes, and ``images.env``, with which pipelines compile on these
images.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from components.container import image_variable
from images.contents import IMAGES, PROGRAMS, content_tag, contents, lay_out

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "images"


@dataclass(frozen=True)
class Built:
    """An image that was built: its reference, and its bytes as stored and compressed."""

    reference: str
    bytes: int
    compressed: int


def build(image: str, engine: str, base: str, registry: str, ca: str | None) -> str:
    """Build one image and give its reference."""
    tag = content_tag(image, base, ROOT)
    reference = f"{registry or 'localhost'}/quipu/{image}:{tag}"
    context = FOLDER / "context" / image
    lay_out(contents(image, ROOT), context)
    if image == "minio":
        _compile(context / "programs")
    command = [engine, "build", "--quiet", "--target", image, "--tag", reference, "--build-arg", f"BASE={base}"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for name, value in (("revision", tag), ("title", f"quipu-{image}"), ("version", version), ("base.name", base)):
        command += ["--label", f"org.opencontainers.image.{name}={value}"]
    if ca:
        command += ["--secret", f"id=ca,src={ca}"]
    if engine == "podman":
        command += ["--network", "host"]
    subprocess.run([*command, str(context)], check=True, stdout=subprocess.DEVNULL)
    return reference


def _compile(folder: Path) -> None:
    """Compile MinIO's programs into a folder."""
    if not shutil.which("go"):
        sys.exit("The image minio takes Go to build; install it, or name the other images in IMAGES.")
    folder.mkdir()
    environment = os.environ | {"CGO_ENABLED": "0", "GOBIN": str(folder), "GOFLAGS": "-trimpath"}
    for module in PROGRAMS.values():
        subprocess.run(["go", "install", "-ldflags", "-s -w", module], env=environment, cwd=folder, check=True)


def pushed(engine: str, reference: str) -> str:
    """Push an image to its registry and give its reference by digest, which no later push can change.

    The digest is that of the manifest which the registry has: podman compresses the layers as it pushes them, and what
    it keeps here has another.
    """
    name = reference.rpartition(":")[0]
    if Path(engine).name == "podman":
        local = ["--tls-verify=false"] if reference.startswith(("127.0.0.1", "localhost")) else []
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as file:
            command = [engine, "push", "--quiet", *local, "--digestfile", file.name, reference]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            return f"{name}@{file.read().strip()}"
    said = subprocess.run([engine, "push", reference], check=True, stdout=subprocess.PIPE, text=True).stdout
    digests = re.findall(r"digest: (sha256:[0-9a-f]{64})", said)
    if not digests:
        sys.exit(f"{engine} did not say under which digest {reference} was pushed; it said: {said.strip()[-200:]}")
    return f"{name}@{digests[-1]}"


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
    """Write the CycloneDX SBOM of an image: its Python packages, those of Debian below them, and MinIO's Go modules."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(_printed(engine, reference, "pip", "freeze"))
        subprocess.run(
            [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON",
             "-o", str(target), str(requirements)],
            check=True,
        )  # fmt: skip
    bill = json.loads(target.read_text(encoding="utf-8"))
    components = bill.setdefault("components", [])
    for line in _printed(engine, reference, "dpkg-query", "-W", "-f", "${Package} ${Version}\\n").splitlines():
        components.append(_library(f"pkg:deb/debian/{line.split()[0]}", *line.split()))
    for program in sorted((FOLDER / "context" / target.name.partition(".")[0]).glob("programs/*")):
        components += [one for one in _go_modules(program) if one not in components]
    target.write_text(json.dumps(bill, indent=2), encoding="utf-8")


def _library(address: str, name: str, version: str) -> dict[str, str]:
    purl = f"{address}@{quote(version)}"
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def _go_modules(program: Path) -> Iterator[dict[str, str]]:
    """The modules that a Go program was made of, as it says itself."""
    said = subprocess.run(["go", "version", "-m", str(program)], check=True, capture_output=True, text=True).stdout
    for kind, name, version, *_ in (line.split() for line in said.splitlines() if len(line.split()) > 2):
        if kind in ("mod", "dep", "=>"):
            yield _library(f"pkg:golang/{name}", name, version)


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
    FOLDER.mkdir(parents=True, exist_ok=True)
    built: dict[str, Built] = {}
    packed: dict[str, int] = {}
    print(f"{'image':<16}{'MB':>8}{'MB compressed':>16}  reference")
    for image in os.environ.get("IMAGES", "").split() or IMAGES:
        reference = build(image, engine, base, registry, os.environ.get("CA"))
        bill_of_materials(engine, reference, FOLDER / f"{image}.cdx.json")
        stored, compressed = sizes(engine, reference, packed)
        if os.environ.get("PUSH") == "1":
            reference = pushed(engine, reference)
        built[image] = Built(reference, stored, compressed)
        print(f"{image:<16}{stored / 1e6:>8.0f}{compressed / 1e6:>16.0f}  {reference}", flush=True)
    listed = FOLDER / "images.json"
    known = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    known |= {name: vars(one) for name, one in built.items()}
    listed.write_text(json.dumps(known, indent=1), encoding="utf-8")
    variables = [f"{image_variable(name)}={one['reference']}\n" for name, one in known.items()]
    (FOLDER / "images.env").write_text("".join(variables))


if __name__ == "__main__":
    main()
