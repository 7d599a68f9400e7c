"""Images by themselves: started as their own user on a read-only file system, and pulled by the digest of a push."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3

from images.build import pushed
from images.closure import kernels, others
from images.contents import IMAGES, modules
from tests.e2e.conftest import HOME, ROOT
from tests.e2e.kubectl import run, until

LOCKED = ("--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
COMPILED = [image for image in IMAGES if image not in ("airflow", "minio") and "numba" in others(modules(image, ROOT))]
KERNELS = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in kernels(ROOT)]


@pytest.mark.parametrize("image", COMPILED)
def test_every_kernel_was_compiled_where_nothing_can_be_written(
    engine: str, built: Callable[[str], str], image: str
) -> None:
    held = [name for name in KERNELS if ROOT.joinpath(f"{name.replace('.', '/')}.py") in modules(image, ROOT)]
    assert held
    program = f"import os, {', '.join(held)}; print(os.getuid())"
    said = run(
        [engine, "run", *LOCKED, "--network", "none", "--entrypoint", "python", built(image), "-c", program], 300
    )
    assert said.strip() == "1000"


@contextmanager
def serving(engine: str, reference: str, *arguments: str) -> Iterator[None]:
    """A container on this machine's network that ends with the context; its log is shown where the test fails."""
    command = [engine, "run", *LOCKED, "--network", "host", *arguments[:-1], reference, *arguments[-1].split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
    finally:
        process.terminate()
        print(process.communicate(timeout=60)[0][-2000:])


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def answers(url: str) -> str:
    """What an address answers with status 200; nothing where it does not."""
    try:
        answer = urllib3.request("GET", url, timeout=10, retries=False)
    except urllib3.exceptions.HTTPError:
        return ""
    return answer.data.decode() or "empty" if answer.status == 200 else ""


def test_the_exporter_answers(engine: str, built: Callable[[str], str]) -> None:
    run_of = json.loads((ROOT / "tests" / "kfp_api" / "run_succeeded.json").read_text())["response"]
    body = json.dumps({"runs": [run_of]}).encode()

    class Kubeflow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    port = free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Kubeflow) as kubeflow:
        threading.Thread(target=kubeflow.serve_forever, daemon=True).start()
        given = (
            "--env",
            f"QUIPU_KFP_URL=http://127.0.0.1:{kubeflow.server_port}",
            "--env",
            f"QUIPU_METRICS_PORT={port}",
        )
        with serving(engine, built("exporter"), *given, ""):
            until(lambda: "credit_kubeflow_up 1.0" in answers(f"http://127.0.0.1:{port}/metrics"), "the exporter")
        kubeflow.shutdown()


def test_minio_answers(engine: str, built: Callable[[str], str]) -> None:
    port = free_port()
    given = ("--env", "MINIO_ROOT_USER=root-user", "--env", "MINIO_ROOT_PASSWORD=only-for-this-test")
    with serving(engine, built("minio"), *given, f"server /tmp/data --address 127.0.0.1:{port} --console-address :0"):
        until(lambda: answers(f"http://127.0.0.1:{port}/minio/health/ready"), "MinIO")
    assert "mc version" in run([engine, "run", *LOCKED, "--entrypoint", "mc", built("minio"), "--version"])


def test_airflow_reads_its_dags(engine: str, built: Callable[[str], str]) -> None:
    home = ("--tmpfs", "/opt/airflow/logs", "--env", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:////tmp/airflow.db")
    command = [
        engine,
        "run",
        *LOCKED,
        *home,
        "--env",
        "AIRFLOW_HOME=/tmp/airflow",
        "--entrypoint",
        "sh",
        built("airflow"),
    ]
    script = (
        "export AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags; airflow db migrate >/tmp/log 2>&1 || cat /tmp/log; "
        "airflow dags reserialize >/tmp/log 2>&1 || cat /tmp/log; "
        "airflow dags list-import-errors -o json; airflow dags list -o json"
    )
    lines = [line for line in run([*command, "-c", script], 600).splitlines() if line.startswith("[")]
    errors, dags = (json.loads(line) for line in lines[-2:])
    assert errors == []
    assert {dag["dag_id"] for dag in dags} >= {"quipu_training", "quipu_scoring", "quipu_monitoring", "quipu_backfill"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a real registry of images."""
    program = shutil.which("registry") or shutil.which("registry", path=HOME / "bin")
    if not program:
        pytest.skip("no registry of images: run tests/e2e/cluster/build once, or put its program on the PATH")
    folder, address = tmp_path_factory.mktemp("registry"), f"127.0.0.1:{free_port()}"
    (folder / "config.yaml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    server = subprocess.Popen([program, "serve", str(folder / "config.yaml")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(f"http://{address}/v2/"), "the registry")
        yield address
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.parametrize("program", ["podman", "docker"])
def test_what_was_pushed_is_pulled_by_the_digest_that_is_written(registry: str, tmp_path: Path, program: str) -> None:
    if not shutil.which(program) or subprocess.run([program, "info"], capture_output=True, check=False).returncode:
        pytest.skip(f"no {program} that answers: install it and start its daemon")
    (tmp_path / "text").write_text("a layer that a push compresses " * 100)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY text /text\n")
    tag = f"{registry}/quipu/pushed:1"
    run([program, "build", "--quiet", "--tag", tag, str(tmp_path)])
    try:
        reference = pushed(program, tag)
        name, _, digest = reference.partition("@")
        assert name == tag.rpartition(":")[0]
        asked = urllib3.request(
            "GET",
            f"http://{registry}/v2/quipu/pushed/manifests/{digest}",
            headers={"accept": "application/vnd.oci.image.manifest.v1+json, "
                               "application/vnd.docker.distribution.manifest.v2+json"},
        )  # fmt: skip
        assert (asked.status, asked.headers.get("docker-content-digest")) == (200, digest)
    finally:
        run([program, "rmi", "--force", tag])
    run([program, "pull", "--quiet", *(["--tls-verify=false"] if program == "podman" else []), reference])
    run([program, "rmi", "--force", reference])
