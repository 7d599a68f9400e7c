"""The exporter's Deployment on the cluster, beside a server that answers as a recorded API server of Kubeflow did."""

import json
from typing import Any

import urllib3
import yaml

from tests.e2e.conftest import ROOT
from tests.e2e.kubectl import NAMESPACE, Kubectl, until

RECORDED = ROOT / "tests" / "kfp_api"
PATH = ROOT / "manifests" / "components" / "monitoring" / "exporter.yaml"
REPLAY = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["ANSWER"].encode())
http.server.ThreadingHTTPServer(("", 8888), Answer).serve_forever()
"""


def test_the_exporter_tells_of_the_runs_of_kubeflow(installed: Kubectl, images: dict[str, str]) -> None:
    found = [one for one in yaml.safe_load_all(PATH.read_text()) if one["kind"] in ("Deployment", "Service")]
    deployment = next(one for one in found if one["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["image"] = images["quipu/exporter"]
    container["env"][0]["value"] = "http://replay:8888"
    installed.apply(
        *({**one, "metadata": one["metadata"] | {"namespace": NAMESPACE}} for one in found), *replay(images)
    )
    try:
        installed("rollout", "status", "deployment/exporter", "--timeout=90s")
        with installed.forwarded("exporter", 9090) as address:

            def scraped() -> str:
                return urllib3.request("GET", f"http://{address}/metrics", timeout=20).data.decode()

            until(lambda: "credit_kubeflow_up 1.0" in scraped(), "an answer of Kubeflow")
            assert 'credit_run_state{pipeline="seam",state="SUCCEEDED"} 1.0' in scraped()
    finally:
        installed("delete", "deployment/exporter", "service/exporter", "pod/replay", "service/replay", "--wait=false")


def replay(images: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pod that gives one recorded run to whoever asks, and its Service."""
    answer = {"runs": [json.loads((RECORDED / "run_succeeded.json").read_text())["response"]]}
    container = {
        "name": "replay",
        "image": images["quipu/exporter"],
        "command": ["python", "-c", REPLAY],
        "env": [{"name": "ANSWER", "value": json.dumps(answer)}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    metadata = {"name": "replay", "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": "replay"}}
    ports = {"selector": metadata["labels"], "ports": [{"port": 8888}]}
    return (
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": ports},
    )
