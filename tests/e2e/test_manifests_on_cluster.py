"""What the API server says of the manifests."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import ROOT, overlay
from tests.e2e.kubectl import NAMESPACE, Kubectl, run

# Kinds that the operators of Prometheus and KServe bring.
BROUGHT = {
    "servicemonitors.monitoring.coreos.com": ("ServiceMonitor", "v1"),
    "prometheusrules.monitoring.coreos.com": ("PrometheusRule", "v1"),
    "inferenceservices.serving.kserve.io": ("InferenceService", "v1beta1"),
}


@pytest.fixture(scope="module")
def kinds(installed: Kubectl) -> None:
    """The kinds that operators bring, without their schemas, where no operator is installed."""
    known = installed("get", "customresourcedefinitions", "-o", "name")
    for name, (kind, version) in BROUGHT.items():
        if name in known:
            continue
        plural, _, group = name.partition(".")
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": plural, "singular": kind.lower(), "kind": kind}
        spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [served]}
        installed.apply(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": name},
                "spec": spec,
            }
        )
        installed("wait", "--for=condition=Established", f"customresourcedefinition/{name}", "--timeout=60s")


@pytest.fixture(scope="module")
def empty(installed: Kubectl) -> Iterator[str]:
    """A namespace with nothing in it, since an overlay may not turn into another."""
    name = f"{NAMESPACE}-dry-run"
    installed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    installed("delete", "namespace", name, "--wait=false")


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "manifests" / "overlays").iterdir()))
def test_the_api_server_takes_every_object_of_an_overlay(
    installed: Kubectl, empty: str, images: dict[str, str], name: str
) -> None:
    rendered = overlay(name, images).replace(f"namespace: {NAMESPACE}\n", f"namespace: {empty}\n")
    answered = run(
        ["kubectl", "--kubeconfig", installed.kubeconfig, "apply", "--server-side", "--dry-run=server", "-f", "-"],
        given=rendered,
    )
    assert "serviceaccount/scorer" in answered


def test_the_setup_job_may_run_twice(installed: Kubectl, images: dict[str, str]) -> None:
    installed("delete", "job", "minio-setup", "--ignore-not-found")
    installed("apply", "--server-side", "-f", "-", given=overlay("dev", images))
    installed("wait", "--for=condition=complete", "job/minio-setup", "--timeout=120s", seconds=150)
    assert "in place" in installed("logs", "job/minio-setup")


def test_no_pod_has_a_token_that_it_does_not_use(installed: Kubectl) -> None:
    pods = json.loads(installed("get", "pods", "-o", "json"))["items"]
    assert pods
    for pod in pods:
        assert pod["spec"].get("automountServiceAccountToken") is False
        mounts = [mount["mountPath"] for one in pod["spec"]["containers"] for mount in one.get("volumeMounts", [])]
        assert "/var/run/secrets/kubernetes.io/serviceaccount" not in mounts
