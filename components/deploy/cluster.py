"""The Kubernetes API as a rollout needs it: the scorer's two Deployments, its two Services and the pods behind them.

The manifests say nothing of the model version, of what a Service selects and of the number of replicas, so that they
can be applied again at any time, by whatever tool, without undoing a rollout.
"""

import datetime
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, incluster_config, kube_config, load_incluster_config, load_kube_config

from components.credit.errors import ClusterError, InputError
from components.deploy.pod_diagnosis import trouble_of

SLOTS = ("blue", "green")
LIVE, PREVIEW = "scorer", "scorer-preview"
_NAME, _SLOT, _CLAIM, _VERSION = "app.kubernetes.io/name", "quipu.pe/slot", "quipu.pe/release", "QUIPU_MODEL_VERSION"
_MANAGER = "quipu-deploy"
_CONNECT_SECONDS = 5
_RETRIES = urllib3.Retry(
    total=3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None, raise_on_status=False
)


@dataclass(frozen=True)
class Side:
    """One of the scorer's two Deployments.

    Args:
        slot: ``blue`` or ``green``.
        version: Model version that it serves; empty where it follows the champion pointer.
        replicas: Pods that it is to have.
        generation: Number of its specification, which every change moves on.
        ready: Whether all its pods serve that version.
        trouble: Why they do not get there, in one sentence; empty where nothing is known against them.
    """

    slot: str
    version: str
    replicas: int
    generation: int
    ready: bool
    trouble: str


@dataclass(frozen=True)
class Claim:
    """Who is changing the scorer: the version that is rolled out, and since when (UTC)."""

    version: str
    since: datetime.datetime


@dataclass(frozen=True)
class Pointing:
    """Which slot a Service selects (None: nothing yet), who has claimed it, and its resource version."""

    slot: str | None
    claim: Claim | None
    resource_version: str


class Cluster:
    """One namespace of a cluster, by the pod's own account or else by KUBECONFIG.

    Args:
        namespace: Namespace of the scorer; by default QUIPU_NAMESPACE, else the pod's or the context's own.
        seconds: How long an answer of the API server may take; it is asked four times.

    Raises:
        InputError: There is neither an account nor a usable kubeconfig.
    """

    def __init__(self, namespace: str | None = None, seconds: float = 10) -> None:
        self._seconds = seconds
        self._within = bool(os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME)) and "KUBECONFIG" not in os.environ
        self._client = self._connected()
        self.namespace = namespace or os.environ.get("QUIPU_NAMESPACE") or self._own_namespace()

    def side(self, slot: str) -> Side:
        """One side as it stands."""
        deployment = self._call("GET", self._deployment(slot))
        spec, status = deployment["spec"], deployment.get("status", {})
        name, replicas, version = deployment["metadata"]["name"], spec.get("replicas", 1), _version(spec["template"])
        generation = deployment["metadata"]["generation"]
        ready = (
            status.get("observedGeneration", 0) >= generation
            and replicas > 0
            and all(status.get(count, 0) == replicas for count in ("replicas", "updatedReplicas", "availableReplicas"))
        )
        trouble = "" if ready else trouble_of(name, self.namespace, status, self._pods(slot, version))
        return Side(slot, version, replicas, generation, ready, trouble)

    def serve(self, slot: str, version: str, replicas: int) -> None:
        """Let a side serve a version (empty: follow the pointer) with so many pods."""
        container = {"name": "scorer", "env": [{"name": _VERSION, "value": version}]}
        spec = {"replicas": replicas, "template": {"spec": {"containers": [container]}}}
        self._patch(self._deployment(slot), {"spec": spec})

    def pointing(self, service: str) -> Pointing:
        """Where a Service points."""
        return _pointing(self._call("GET", self._service(service)))

    def point(
        self, service: str, slot: str, resource_version: str | None = None, claim: Claim | None = None
    ) -> Pointing | None:
        """Let a Service point at a side, and set or take away the claim on it.

        Args:
            service: The Service.
            slot: The side.
            resource_version: The Service as it must still stand; None whatever it is.
            claim: The claim, or None for none.

        Returns:
            Where it points now; None where somebody changed the Service in between, and nothing was done.
        """
        held = f"{claim.version} {claim.since.isoformat()}" if claim else None
        metadata: dict[str, Any] = {"annotations": {_CLAIM: held}}
        if resource_version:
            metadata["resourceVersion"] = resource_version
        try:
            changed = self._patch(
                self._service(service), {"metadata": metadata, "spec": {"selector": {_NAME: LIVE, _SLOT: slot}}}
            )
        except _ConflictError:
            # An answer that was lost and asked for again finds what its first try did.
            found = self.pointing(service)
            return found if (found.slot, found.claim) == (slot, claim) else None
        return _pointing(changed)

    def ask(self, service: str, path: str, body: bytes, token: str | None) -> tuple[int, bytes]:
        """Post JSON to the scorer behind a Service: by its name in the cluster, else through the API server.

        Returns:
            Status and body.

        Raises:
            ClusterError: Nobody answers.
        """
        headers = {"content-type": "application/json"}
        if not self._within:
            proxied = f"{self._service(service)}:http/proxy{path}"
            return self._request("POST", proxied, body, headers)
        address = f"http://{service}.{self.namespace}.svc{path}"
        headers["connection"] = "close"  # a connection that is kept stays with the pod that it first met
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            answered = urllib3.request(
                "POST", address, body=body, headers=headers, timeout=self._seconds, retries=_RETRIES
            )
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(
                f"The scorer at {address} does not answer; check the network policies and the pods' log."
            ) from error
        return answered.status, answered.data

    def trouble_of_run(self, run: str) -> str:
        """Why the pods of a run of Kubeflow Pipelines do not start; empty where nothing is known against them."""
        selector = quote(f"pipeline/runid={run}")
        pods = self._call("GET", f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}")["items"]
        return trouble_of(f"the run {run}", self.namespace, {}, pods)

    def _pods(self, slot: str, version: str) -> list[dict[str, Any]]:
        """Pods of a side that are to serve a version."""
        selector = quote(f"{_NAME}={LIVE},{_SLOT}={slot}")
        pods = self._call("GET", f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}")["items"]
        return [pod for pod in pods if _version(pod) == version]

    def _deployment(self, slot: str) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/scorer-{slot}"

    def _service(self, name: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/services/{name}"

    def _patch(self, path: str, patch: dict[str, Any]) -> dict[str, Any]:
        return self._call("PATCH", f"{path}?fieldManager={_MANAGER}", patch)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"accept": "application/json", "content-type": "application/strategic-merge-patch+json"}
        status, data = self._request(method, path, msgspec.json.encode(body) if body else None, headers)
        place = urlsplit(path).path.partition("/namespaces/")[2].partition("/")[2]
        if status == 409:
            raise _ConflictError(f"Somebody else changed {place} in namespace {self.namespace}; run the stage again.")
        if status >= 300:
            raise ClusterError(self._refusal(status, method, place))
        return dict(msgspec.json.decode(data))

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body; a token that was refused is read again from its file, once."""
        status, data = self._once(method, path, body, headers)
        if status == 401:
            self._client = self._connected()
            status, data = self._once(method, path, body, headers)
        return status, data

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        settings = self._client.configuration
        token = settings.get_api_key_with_prefix("authorization")
        try:
            answered = self._client.rest_client.pool_manager.request(
                method,
                f"{settings.host}{path}",
                body=body,
                headers=headers | ({"authorization": token} if token else {}),
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=self._seconds),
                retries=_RETRIES,
            )
        except urllib3.exceptions.HTTPError as error:
            if isinstance(getattr(error, "reason", error), urllib3.exceptions.SSLError):
                raise ClusterError(
                    f"The certificate of the cluster's API server {settings.host} is not trusted; check its authority "
                    "in the kubeconfig."
                ) from error
            raise ClusterError(
                f"The cluster's API server {settings.host} does not answer; check that it runs and can be reached, and "
                "run the stage again."
            ) from error
        return answered.status, answered.data

    def _refusal(self, status: int, method: str, place: str) -> str:
        host = self._client.configuration.host
        if status == 401:
            return f"The cluster's API server {host} does not take the stage's token; renew it and run the stage again."
        if status == 403:
            verb = {"GET": "read", "PATCH": "change"}[method]
            return (
                f"The stage's account may not {verb} {place} in namespace {self.namespace}; bind it to quipu-rollout."
            )
        if status == 404:
            return f"{place} is not in namespace {self.namespace}; apply the manifests first."
        return f"The cluster's API server {host} answers {status} for {place}; run the stage again once it is well."

    def _connected(self) -> ApiClient:
        settings = Configuration()
        try:
            if self._within:
                load_incluster_config(client_configuration=settings)
            else:
                load_kube_config(
                    config_file=os.environ.get("KUBECONFIG"), client_configuration=settings, persist_config=False
                )
        except (ConfigException, OSError) as error:
            raise InputError(
                "There is no cluster at hand: neither a pod's service account nor a kubeconfig that can be read; set "
                "KUBECONFIG."
            ) from error
        client = ApiClient(settings)
        if settings.verify_ssl:
            # As kubectl does: many clusters' certificates lack what Python 3.13 asks for beyond trust, name and date.
            context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
        return client

    def _own_namespace(self) -> str:
        if self._within:
            return Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace").read_text("utf-8").strip()
        _, active = kube_config.list_kube_config_contexts(os.environ.get("KUBECONFIG"))
        return str(active["context"].get("namespace", "default"))


class _ConflictError(ClusterError):
    """What was to change is no longer as it was read."""


def _pointing(service: dict[str, Any]) -> Pointing:
    metadata = service["metadata"]
    held = metadata.get("annotations", {}).get(_CLAIM, "")
    version, _, since = held.partition(" ")
    claim = Claim(version, datetime.datetime.fromisoformat(since)) if since else None
    return Pointing(service["spec"].get("selector", {}).get(_SLOT), claim, metadata["resourceVersion"])


def _version(template: dict[str, Any]) -> str:
    variables = template["spec"]["containers"][0].get("env", [])
    return next((str(one.get("value", "")) for one in variables if one["name"] == _VERSION), "")
