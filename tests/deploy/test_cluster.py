"""An API server that is ill, that hangs, or that wants another token: over real HTTP."""

import datetime
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from components.credit.errors import ClusterError, InputError
from components.deploy.cluster import Cluster
from components.deploy.pod_diagnosis import trouble_of


class Api:
    """What the API server does next."""

    status, hangs, token, asked = 200, 0.0, "", 0
    server: ThreadingHTTPServer


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    state = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            time.sleep(state.hangs)
            given = self.headers.get("authorization", "").partition(" ")[2]
            status = 401 if state.token and given != state.token else state.status
            service = {"metadata": {"resourceVersion": "7"}, "spec": {"selector": {"quipu.pe/slot": "blue"}}}
            body = json.dumps(service).encode()
            try:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the client has given up

        def log_message(self, *_: object) -> None: ...

    server = state.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "token").write_text("first")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"tokenFile": str(tmp_path / "token")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "lending"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_ill_api_server_is_asked_again_and_then_named(api: Api) -> None:
    api.status = 500
    with pytest.raises(ClusterError, match=r"answers 500 for services/scorer; run the stage again once it is well\."):
        Cluster().pointing("scorer")
    assert api.asked == 4


def test_a_hanging_api_server_is_given_up(api: Api) -> None:
    api.hangs = 1.0
    with pytest.raises(ClusterError, match="does not answer; check that it runs and can be reached"):
        Cluster(seconds=0.1).pointing("scorer")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (403, "may not read services/scorer in namespace lending; bind it to quipu-rollout"),
        (404, "services/scorer is not in namespace lending; apply the manifests first"),
    ],
)
def test_a_refusal_names_what_is_missing(api: Api, status: int, told: str) -> None:
    api.status = status
    with pytest.raises(ClusterError, match=told):
        Cluster().pointing("scorer")


def test_a_token_that_ran_out_is_read_again(api: Api, tmp_path: Path) -> None:
    api.token = "first"
    cluster = Cluster()
    assert cluster.pointing("scorer").slot == "blue"
    api.token = "second"
    with pytest.raises(ClusterError, match="does not take the stage's token; renew it"):
        cluster.pointing("scorer")
    (tmp_path / "token").write_text("second")
    assert cluster.pointing("scorer").slot == "blue"


def certificate(name: str, issuer: str, key: Ed25519PrivateKey, by: Ed25519PrivateKey, authority: bool) -> bytes:
    """A certificate (PEM) as a cluster's tools may make it: for 127.0.0.1, and without the ids of keys."""
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().serial_number(x509.random_serial_number()).public_key(key.public_key())
    made = made.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    made = made.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(authority, None), critical=True)
    made = made.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    )
    return made.sign(by, None).public_bytes(Encoding.PEM)


def test_a_server_is_believed_by_its_authority_alone(api: Api, tmp_path: Path) -> None:
    authority, key, other = (Ed25519PrivateKey.generate() for _ in range(3))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "server.pem").write_bytes(private + certificate("server", "ca", key, authority, False))
    (tmp_path / "ca.pem").write_bytes(certificate("ca", "ca", authority, authority, True))
    (tmp_path / "other.pem").write_bytes(certificate("ca", "ca", other, other, True))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    api.server.socket = context.wrap_socket(api.server.socket, server_side=True)
    config = json.loads((tmp_path / "config").read_text())
    for name in ("ca", "other"):
        config["clusters"][0]["cluster"] = {
            "server": f"https://127.0.0.1:{api.server.server_port}",
            "certificate-authority": str(tmp_path / f"{name}.pem"),
        }
        (tmp_path / "config").write_text(json.dumps(config))
        if name == "ca":
            assert Cluster().pointing("scorer").slot == "blue"
    with pytest.raises(ClusterError, match=r"The certificate of the cluster's API server .* is not trusted"):
        Cluster().pointing("scorer")


def test_without_a_cluster_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(InputError, match="no cluster at hand"):
        Cluster()


def test_the_last_words_of_a_pod_are_the_trouble() -> None:
    ended = {"terminated": {"exitCode": 1, "message": "first\nThe bucket quipu-models does not exist.\n"}}
    container = {"image": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    pod = {"status": {"containerStatuses": [container]}}
    assert trouble_of("scorer-green", "lending", {}, [pod]) == (
        "The scorer of scorer-green ends at its start: The bucket quipu-models does not exist."
    )
