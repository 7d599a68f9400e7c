"""Bounds of the scorer, its TLS, and how it stops."""

import datetime
import ipaddress
import json
import signal
import socket
import ssl
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.credit.book.store import Access, Store
from components.credit.errors import InputError
from components.credit.release.registry import promote
from components.scorer.settings import listening_from_environment
from tests.scorer.running import REQUEST, Scorer, running

INFER = "/v2/models/quipu/infer"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scorer")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "tls.crt", folder / "tls.key"


@pytest.fixture(scope="module")
def bounded(access: Access, store: Store, keys: tuple[str, str], xgboost_version: str) -> Iterator[Scorer]:
    """A scorer that waits half a second for a body."""
    promote(store, xgboost_version, "")
    with running(access, keys[1], QUIPU_SCORER_BODY="0.5") as scorer:
        yield scorer


@pytest.fixture(scope="module")
def secure(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, certificate: tuple[Path, Path]
) -> Iterator[Scorer]:
    """A scorer with TLS, which goes on for a while when it is told to stop."""
    promote(store, xgboost_version, "")
    settings = {
        "QUIPU_TLS_CERTIFICATE_FILE": str(certificate[0]),
        "QUIPU_TLS_KEY_FILE": str(certificate[1]),
        "QUIPU_SCORER_DRAIN": "3",
    }
    with running(access, keys[1], **settings) as scorer:
        yield scorer


def median_milliseconds(scorer: Scorer) -> float:
    """Median time of 100 answers on one connection."""
    taken = []
    for _ in range(100):
        began = time.perf_counter()
        assert scorer.http.post(INFER, json=REQUEST).status_code == 200
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def test_a_body_that_does_not_arrive_is_told_so(bounded: Scorer) -> None:
    for head in (b"content-length: 500\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"):
        with socket.create_connection(("127.0.0.1", bounded.port), timeout=10) as client:
            client.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\n" + head)
            assert client.recv(65536).startswith(b"HTTP/1.1 408")
    assert bounded.http.post(INFER, json=REQUEST).status_code == 200


def test_long_bodies_do_not_fill_the_memory(bounded: Scorer) -> None:
    long = b" " * 100_000
    clients = [socket.create_connection(("127.0.0.1", bounded.port), timeout=10) for _ in range(10)]
    try:
        for client, size in zip(clients, [8 * 1024 * 1024] * 8 + [100_000] * 2, strict=True):
            client.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n{" % size)
        assert b"too many long requests at once" in clients[8].recv(65536)
        assert bounded.http.post(INFER, json=REQUEST).status_code == 200
        chunked = bounded.http.post(INFER, content=iter([long, long]))
        assert (chunked.status_code, chunked.headers["retry-after"]) == (503, "1")
        assert clients[0].recv(65536).startswith(b"HTTP/1.1 408")
    finally:
        for client in clients:
            client.close()
    assert bounded.http.post(INFER, content=json.dumps(REQUEST).encode() + long).status_code == 200


def test_a_client_that_goes_away_is_noted_as_such(bounded: Scorer) -> None:
    with socket.create_connection(("127.0.0.1", bounded.port), timeout=10) as client:
        client.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\nx-request-id: gone\r\ncontent-length: 500\r\n\r\n{")
    assert bounded.wait("request", request="gone")["status"] == 499
    assert [line for line in bounded.lines if line["event"] == "error"] == []


def test_a_thousand_idle_connections_do_not_stop_the_others(bounded: Scorer) -> None:
    idle = [socket.create_connection(("127.0.0.1", bounded.port), timeout=10) for _ in range(1000)]
    try:
        for _ in range(20):
            assert httpx.post(f"http://127.0.0.1:{bounded.port}{INFER}", json=REQUEST).status_code == 200
        beside = median_milliseconds(bounded)
    finally:
        for connection in idle:
            connection.close()
    # Each idle connection that were looked at for every request would show: 1,000 of them, at 10 µs, cost 10 ms.
    assert beside < 5 * median_milliseconds(bounded)


def test_more_connections_than_files_end_nothing(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, tmp_path: Path
) -> None:
    promote(store, xgboost_version, "")
    with running(access, keys[1], files=300, QUIPU_SPOOL=str(tmp_path)) as scorer:
        assert scorer.http.post(INFER, json=REQUEST).status_code == 200
        idle = [socket.create_connection(("127.0.0.1", scorer.port), timeout=10) for _ in range(500)]
        try:
            for _ in range(10):
                time.sleep(0.1)  # in which the spool is synced, and measured
                assert scorer.http.post(INFER, json=REQUEST).status_code == 200
        finally:
            for connection in idle:
                connection.close()
        assert httpx.post(f"http://127.0.0.1:{scorer.port}{INFER}", json=REQUEST, timeout=20).status_code == 200
        assert [line for line in scorer.lines if line["event"] == "error"] == []
        [kept] = tmp_path.glob("*.jsonl")
        assert kept.read_bytes().count(b"\n") == 12


def test_tls_is_spoken_and_nothing_older_than_1_2(secure: Scorer, certificate: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(base_url=f"https://127.0.0.1:{secure.port}", verify=trusting) as client:
        assert client.post(INFER, json=REQUEST).status_code == 200
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(base_url=f"https://127.0.0.1:{secure.port}", verify=trusting) as client:
        assert client.get("/v2/health/ready").status_code == 200
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        trusting.minimum_version, trusting.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", secure.port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
        trusting.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{secure.port}/v2/health/ready")


def test_it_says_that_it_is_not_ready_before_it_stops(secure: Scorer, certificate: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(base_url=f"https://127.0.0.1:{secure.port}", verify=trusting, timeout=10) as client:
        assert client.get("/v2/health/ready").status_code == 200
        secure.process.send_signal(signal.SIGTERM)
        secure.wait("draining")
        for path in ("/v2/health/ready", "/v2/models/quipu/ready"):
            told = client.get(path)
            assert (told.status_code, told.json()) == (503, {"error": "The scorer is about to stop."})
        assert client.get("/v2/health/live").status_code == 200
        assert client.post(INFER, json=REQUEST).status_code == 200
    assert secure.process.wait(60) == 0
    secure.wait("stopped")


def test_a_certificate_without_its_key_stops_the_start(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUIPU_TLS_CERTIFICATE_FILE", str(certificate[0]))
    with pytest.raises(InputError, match="go together; give both or none"):
        listening_from_environment()
    (tmp_path / "tls.key").write_text("no key")
    for key in (tmp_path / "tls.key", tmp_path / "none"):
        monkeypatch.setenv("QUIPU_TLS_KEY_FILE", str(key))
        with pytest.raises(InputError, match="are no certificate with its key"):
            listening_from_environment()
