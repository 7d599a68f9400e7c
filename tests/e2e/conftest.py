"""A cluster with the development overlay on it: the one that KUBECONFIG names, or one made for these tests.

QUIPU_E2E_PUSH and QUIPU_E2E_PULL name a registry as this machine and as the cluster's nodes reach it; without them it
is the registry beside the cluster that is made here.
"""

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.credit.book.store import Access, Store
from components.credit.release.signing import new_key_pair
from components.deploy.cluster import Cluster
from images.build import build
from images.contents import content_tag
from tests.e2e.kubectl import NAMESPACE, Kubectl, run, until
from tests.e2e.models import Candidate, candidate

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "e2e" / "cluster"
HOME = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache" / "one-node-cluster"))
USERS = ("ingest", "validate", "feature", "train", "evaluate", "deploy", "score", "monitor", "scorer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies here needs a cluster: only ``make e2e`` runs it."""
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def admin() -> Iterator[Kubectl]:
    """kubectl as the cluster's administrator; a cluster that was made for the tests goes with them."""
    given = os.environ.get("KUBECONFIG")
    if given:
        yield Kubectl(given)
        return
    if os.geteuid() != 0 or not (HOME / "bin" / "kube-apiserver").is_file():
        pytest.skip("no cluster: set KUBECONFIG, or, as root, run tests/e2e/cluster/build once")
    started = subprocess.run([SCRIPTS / "up"], capture_output=True, text=True, timeout=300, check=False)
    try:
        assert started.returncode == 0, started.stderr
        yield Kubectl(str(HOME / "pki" / "admin.kubeconfig"))
    finally:
        subprocess.run([SCRIPTS / "down"], capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def engine() -> str:
    """What builds and runs images here."""
    found = os.environ.get("ENGINE") or next((name for name in ("podman", "docker") if shutil.which(name)), None)
    if found is None:
        pytest.skip("no podman and no docker: install either, to build the images")
    return found


@pytest.fixture(scope="session")
def built(engine: str) -> Callable[[str], str]:
    """Gives an image by its name; one of the same content is not built twice."""
    base = os.environ.get("BASE", "localhost/python:3.13-slim")
    authority = Path(os.environ.get("CA", "/etc/ssl/certs/ca-certificates.crt"))

    def reference(image: str) -> str:
        named = f"localhost/quipu/{image}:{content_tag(image, base, ROOT)}"
        if subprocess.run([engine, "image", "inspect", named], capture_output=True, check=False).returncode:
            build(image, engine, base, "", str(authority) if authority.is_file() else None)
        return named

    return reference


@pytest.fixture(scope="session")
def images(admin: Kubectl, engine: str, built: Callable[[str], str]) -> dict[str, str]:
    """The images that pods of the tests run, in the registry, as the nodes name them."""
    push = os.environ.get("QUIPU_E2E_PUSH", "127.0.0.1:5000")
    images = {}
    for reference in map(built, ("minio", "scorer", "deploy", "exporter")):
        name = reference.rpartition(":")[0].removeprefix("localhost/")
        # Tags by content: a node does not pull again what it has under a tag.
        tag = run([engine, "image", "inspect", "--format", "{{.Id}}", reference]).strip().removeprefix("sha256:")[:12]
        run([engine, "tag", reference, f"{push}/{name}:{tag}"])
        insecure = ["--tls-verify=false"] if engine == "podman" else []
        run([engine, "push", "--quiet", *insecure, f"{push}/{name}:{tag}"], 300)
        images[name] = f"{os.environ.get('QUIPU_E2E_PULL', 'registry.local:5000')}/{name}:{tag}"
    return images


@pytest.fixture(scope="session")
def keys() -> tuple[str, str]:
    """Private and public key of the models."""
    return new_key_pair()


@pytest.fixture(scope="session")
def installed(admin: Kubectl, images: dict[str, str], keys: tuple[str, str]) -> Iterator[Kubectl]:
    """kubectl, with the development overlay applied and MinIO set up."""
    admin("apply", "--filename", str(ROOT / "manifests" / "overlays" / "dev" / "namespace.yaml"))
    try:
        values = {"minio-root": {"user": "root-user", "password": "only-for-these-tests"}}
        values |= {f"store-{user}": {"access_key": user, "secret_key": f"{user}-secret"} for user in USERS}
        values |= {"verify-key": {"verify.pem": keys[1]}}
        admin.apply(*({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE},
                       "stringData": data} for name, data in values.items()))  # fmt: skip
        admin("apply", "--server-side", "--filename", "-", given=overlay("dev", images))
        admin("wait", "--for=condition=complete", "job/minio-setup", "--timeout=180s", seconds=200)
        yield admin
    finally:
        if os.environ.get("QUIPU_E2E_KEEP") != "1":
            admin("delete", "namespace", NAMESPACE, "--wait=false")


def overlay(name: str, images: dict[str, str]) -> str:
    """An overlay's objects, with the images of the tests."""
    rendered = run(["kubectl", "kustomize", str(ROOT / "manifests" / "overlays" / name)])
    for image, reference in images.items():
        rendered = re.sub(rf"image: \S*{image}\S*", f"image: {reference}", rendered)
    return rendered


@pytest.fixture(scope="session")
def store(installed: Kubectl) -> Iterator[Store]:
    """The cluster's MinIO, as the deploy stage may use it."""
    with installed.forwarded("minio", 9000) as address:
        yield Store(Access(address, "deploy", "deploy-secret"))


@pytest.fixture(scope="session")
def kubeconfig(installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the account that runs the stages, with no more than its Role gives; its token lies in a file."""
    folder = tmp_path_factory.mktemp("runner")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "quipu-rollout-outside"}
    installed.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "quipu-rollout-outside", "namespace": NAMESPACE},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": "quipu-runner"}],
        }
    )
    (folder / "token").write_text(installed("create", "token", "quipu-runner", "--duration", "2h").strip())
    shown = json.loads(installed("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    cluster = shown["clusters"][0]["cluster"]
    (folder / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    context = {"cluster": "c", "user": "u", "namespace": NAMESPACE}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "runner",
        "clusters": [
            {"name": "c", "cluster": {"server": cluster["server"], "certificate-authority": str(folder / "ca.crt")}}
        ],
        "users": [{"name": "u", "user": {"tokenFile": str(folder / "token")}}],
        "contexts": [{"name": "runner", "context": context}],
    }
    (folder / "config").write_text(json.dumps(config))
    return folder / "config"


@pytest.fixture
def cluster(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster as the deploy stage sees it."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return Cluster()


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Candidate]:
    """Makes a model; another seed gives another version."""

    def made(seed: int, strategy: str = "blue_green") -> Candidate:
        return candidate(tmp_path_factory.mktemp("model"), seed, strategy)

    return made


@pytest.fixture(autouse=True)
def _whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing that answers borrowers is left broken by a test."""
    yield
    if "installed" in request.fixturenames:
        kubectl: Kubectl = request.getfixturevalue("installed")
        selector = kubectl.get("service", "scorer")["spec"].get("selector", {})
        slot = selector.get("quipu.pe/slot")
        if slot and kubectl.get("deployment", f"scorer-{slot}")["status"].get("readyReplicas"):
            until(
                lambda: kubectl.get("deployment", f"scorer-{slot}")["status"].get("availableReplicas"),
                f"the answering side {slot}",
            )
