"""Every overlay renders, and is what Kubernetes takes."""

import ipaddress
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from components.container import NOBODYS
from components.scorer.access.addresses import address_of
from images.contents import IMAGES

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = sorted(path.name for path in (ROOT / "manifests" / "overlays").iterdir())
# Kinds of operators, whose schemas Kubernetes does not know.
BROUGHT = ("monitoring.coreos.com", "serving.kserve.io")


def rendered(folder: Path) -> list[dict[str, Any]]:
    kustomize = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    if not shutil.which(kustomize[0]):
        pytest.skip("no kubectl and no kustomize: install either")
    made = subprocess.run([*kustomize, str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """The objects of an overlay."""
    return rendered(ROOT / "manifests" / "overlays" / request.param)


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    templates = [one["spec"]["template"]["spec"] for one in objects if "template" in one.get("spec", {})]
    return templates + [one["spec"]["predictor"] for one in objects if one["kind"] == "InferenceService"]


def test_every_object_is_valid_strictly(objects: list[dict[str, Any]]) -> None:
    for one in objects:
        if not one["apiVersion"].startswith(BROUGHT):
            kubernetes_validate.validate(one, "1.37", strict=True)


def test_every_pod_is_restricted(objects: list[dict[str, Any]]) -> None:
    assert pods(objects)
    for spec in pods(objects):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}


def test_tags_are_the_overlays(objects: list[dict[str, Any]]) -> None:
    images = [container["image"] for spec in pods(objects) for container in spec["containers"]]
    assert not [image for image in images if ":" not in image.rpartition("/")[2]]
    base = "".join(path.read_text() for path in (ROOT / "manifests" / "base").rglob("*.yaml"))
    assert not [line for line in base.splitlines() if "image:" in line and ":" in line.partition("image:")[2]]


def test_every_image_is_one_that_is_built_here_or_a_third_partys_by_digest(objects: list[dict[str, Any]]) -> None:
    for image in [container["image"] for spec in pods(objects) for container in spec["containers"]]:
        name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
        ours = f"quipu/{name}" in image and name in IMAGES
        assert ours or "@sha256:" in image, f"'make images' does not build {image}"
        assert not image.startswith(NOBODYS), f"the overlay does not say where {image} lies"


def test_what_the_deploy_stage_changes_is_not_said(objects: list[dict[str, Any]]) -> None:
    for one in objects:
        if one["kind"] == "Deployment" and one["metadata"]["name"].startswith("scorer-"):
            assert "replicas" not in one["spec"]
            assert "QUIPU_MODEL_VERSION" not in str(one)
        if one["kind"] == "Service" and one["metadata"]["name"] in ("scorer", "scorer-preview"):
            assert "selector" not in one["spec"]


def test_in_production_the_scorer_asks_who_is_there() -> None:
    objects = rendered(ROOT / "manifests" / "overlays" / "production")
    (settings,) = [one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "scorer"]
    assert settings["QUIPU_AUTH"] != "off"
    sides = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"].startswith("scorer-")]
    assert len(sides) == 2
    for side in sides:
        (mount,) = [m for m in side["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] if m["name"] == "keys"]
        assert settings["QUIPU_AUTH_KEYS_FILE"].startswith(mount["mountPath"])


def test_behind_the_ingress_the_scorer_tells_its_clients_apart() -> None:
    objects = rendered(ROOT / "manifests" / "overlays" / "production")
    assert any(one["kind"] == "Ingress" for one in objects)
    (settings,) = [one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "scorer"]
    proxies = [ipaddress.ip_network(part) for part in settings["QUIPU_SCORER_PROXIES"].split(",")]
    assert address_of("10.244.1.7:40000", ["192.0.2.1, 203.0.113.5"], proxies) == "203.0.113.5"
    assert not [network for network in proxies if network.is_global]
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    (policy,) = [
        one for one in policies if one["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") == "scorer"
    ]
    (callers,) = [rule["from"] for rule in policy["ingress"] if {"port": "http"} in rule["ports"]]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}} in callers
    assert all("ipBlock" not in caller for caller in callers), (
        "who can come from a proxy's network can write the header"
    )


def test_the_tasks_of_a_run_find_what_their_pods_ask_for() -> None:
    objects = rendered(ROOT / "manifests" / "overlays" / "dev")
    (place,) = [one["data"] for one in objects if one["metadata"]["name"] == "quipu-store"]
    _, platform = yaml.safe_load_all((ROOT / "pipelines" / "training.yaml").read_text())
    for pod in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        asked = {entry["configMapKey"] for config in pod["configMapAsEnv"] for entry in config["keyToEnv"]}
        assert asked <= place.keys()
