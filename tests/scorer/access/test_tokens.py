"""Who gets in: API keys and the tokens of an identity provider; and who does not."""

import base64
import hashlib
import hmac
import http.server
import ipaddress
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from components.credit.book.store import Access, Store
from components.credit.errors import InputError
from components.credit.release.registry import promote
from components.scorer.access.addresses import address_of
from components.scorer.access.apikeys import add_key, new_key, read_keys
from components.scorer.access.keyset import fetch_key_set, read_key_set
from components.scorer.access.tokens import Issuer, TokenRefused, Tokens
from components.scorer.settings import listening_from_environment
from tests.scorer.running import REQUEST, Scorer, running

ISSUER, AUDIENCE = "https://login.caja.example/realms/credit", "quipu"
INFER = "/v2/models/quipu/infer"


class Provider:
    """An identity provider with one key."""

    def __init__(self, key_id: str = "k1") -> None:
        self.key_id = key_id
        self.private = rsa.generate_private_key(65537, 2048)
        self.public_pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def jwks(self) -> bytes:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key()))
        return json.dumps({"keys": [key | {"kid": self.key_id, "use": "sig", "alg": "RS256"}]}).encode()

    def token(self, headers: dict[str, Any] | None = None, **changed: Any) -> str:
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "officer-7", "exp": int(time.time()) + 300, "roles": ["score"],
        } | changed  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.private, "RS256", headers={"kid": self.key_id} | (headers or {}))


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def folder(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auth")
    (folder / "jwks.json").write_bytes(provider.jwks())
    return folder


@pytest.fixture(scope="module")
def keys_by_role(folder: Path) -> dict[str, str]:
    made = {}
    for role in ("score", "read", "override", "admin"):
        made[role], entry = new_key(f"shop-{role}", [role])  # type: ignore[list-item]
        add_key(folder / "keys.json", entry)
    return made


@pytest.fixture(scope="module")
def guarded(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, folder: Path, keys_by_role: Any
) -> Iterator[Scorer]:
    """A scorer that wants tokens."""
    promote(store, xgboost_version, "")
    settings = {
        "QUIPU_AUTH_KEYS_FILE": str(folder / "keys.json"),
        "QUIPU_AUTH_ISSUER": ISSUER,
        "QUIPU_AUTH_AUDIENCE": AUDIENCE,
        "QUIPU_AUTH_JWKS_FILE": str(folder / "jwks.json"),
        "QUIPU_SCORER_PROXIES": "127.0.0.0/8",
    }
    with running(access, keys[1], **settings) as scorer:
        yield scorer


@pytest.fixture
def tokens(folder: Path) -> Tokens:
    return Tokens(None, Issuer(ISSUER, AUDIENCE, key_file=folder / "jwks.json"))


def ask(
    scorer: Scorer, token: str | None, path: str = INFER, method: str = "POST", address: str = ""
) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    if address:
        headers["x-forwarded-for"] = address
    return scorer.http.request(method, path, json=REQUEST if method == "POST" else None, headers=headers)


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_each_role_may_do_what_is_its_own(guarded: Scorer, keys_by_role: dict[str, str]) -> None:
    allowed = {
        (method, path): {
            role for role, key in keys_by_role.items() if ask(guarded, key, path, method).status_code == 200
        }
        for method, path in (("POST", INFER), ("GET", "/v1/models"), ("GET", "/v2/models/quipu"))
    }
    everyone = {"score", "read", "override", "admin"}
    assert allowed == {
        ("POST", INFER): {"score", "admin"},
        ("GET", "/v1/models"): everyone,
        ("GET", "/v2/models/quipu"): everyone,
    }
    refused = ask(guarded, keys_by_role["read"])
    assert (refused.status_code, refused.json()["error"]) == (403, "This needs the role score, which your token lacks.")
    assert "insufficient_scope" in refused.headers["www-authenticate"]


def test_a_stranger_gets_health_and_nothing_else(guarded: Scorer) -> None:
    assert ask(guarded, None, "/v2/health/live", "GET").status_code == 200
    assert ask(guarded, None, "/v2/health/ready", "GET").status_code == 200
    for method, path in (
        ("POST", INFER), ("POST", "/v1/score"), ("GET", "/v1/models"), ("GET", "/v2"), ("GET", "/v2/models/quipu"),
        ("GET", "/openapi.json"),
    ):  # fmt: skip
        refused = ask(guarded, None, path, method)
        assert (refused.status_code, set(refused.json())) == (401, {"error"})
        assert refused.headers["www-authenticate"] == "Bearer"


def test_a_strangers_body_is_not_even_read(guarded: Scorer) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as client:
        client.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 7000000\r\n\r\n[")
        assert client.recv(65536).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("value", [b"Bearer \xff\xfe", b"Bearer", b"", b"Bearer \xc3\xa9"])
def test_a_header_that_is_no_text_is_no_token(guarded: Scorer, value: bytes) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\nauthorization: " + value + b"\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 401")


def test_a_providers_token_opens_what_its_roles_do(guarded: Scorer, provider: Provider) -> None:
    assert ask(guarded, provider.token()).status_code == 200
    assert ask(guarded, provider.token(roles="openid score other")).status_code == 200
    assert ask(guarded, provider.token(roles=["read"])).status_code == 403
    assert ask(guarded, provider.token(roles=None)).status_code == 403
    assert ask(guarded, provider.token(exp=int(time.time()) - 10)).status_code == 200  # clocks differ a little


def attacks(provider: Provider) -> dict[str, str]:
    """Tokens that nobody may believe."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": int(time.time()) + 300, "roles": ["admin"]}
    unsigned = f"{part({'alg': 'none', 'kid': 'k1'})}.{part(claims)}."
    signed_by_public_key = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part(claims)}"
    digest = hmac.new(provider.public_pem, signed_by_public_key.encode(), hashlib.sha256).digest()
    header, body, signature = provider.token().split(".")
    now = int(time.time())
    return {
        "expired": provider.token(exp=now - 3600),
        "not yet": provider.token(nbf=now + 3600),
        "without an end": provider.token(exp=None),
        "without a subject": provider.token(sub=None),
        "with an end beyond all numbers": provider.token(exp=10**400),
        "with an end in words": provider.token(exp="soon"),
        "of a subject that is long": provider.token(sub="x" * 1000),
        "of a subject that breaks lines": provider.token(sub="ana\nroot"),
        "of a subject without a name": provider.token(sub=""),
        "for another audience": provider.token(aud="core-banking"),
        "without an audience": provider.token(aud=None),
        "of another issuer": provider.token(iss="https://login.example.org"),
        "unsigned": unsigned,
        "None in capitals": unsigned.replace(part({"alg": "none", "kid": "k1"}), part({"alg": "nOnE", "kid": "k1"})),
        "HMAC with the public key": signed_by_public_key
        + "."
        + base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "signed by another key": Provider().token(),
        "with another's claims": f"{header}.{part(claims)}.{signature}",
        "without its signature": f"{header}.{body}.",
        "with a key of its own": Provider("k2").token(headers={"jwk": {"kty": "oct", "k": "AA"}}),
        "with a key id that is a path": provider.token(headers={"kid": "../../../../dev/null"}),
        "no token": "a.b.c",
        "long": "x" * 9000,
    }  # fmt: skip


def test_no_forged_token_gets_anything(guarded: Scorer, provider: Provider) -> None:
    for place, (name, token) in enumerate(attacks(provider).items()):
        refused = ask(guarded, token, address=f"203.0.113.{place}")
        assert refused.status_code == 401, name
        assert set(refused.json()) == {"error"}
        assert "www-authenticate" in refused.headers
    basic = guarded.http.post(INFER, json=REQUEST, headers={"authorization": "Basic YWRtaW46YWRtaW4="})
    assert basic.status_code == 401


def test_whoever_fails_often_is_not_looked_at_while_others_go_on(guarded: Scorer, provider: Provider) -> None:
    told = [ask(guarded, f"guess-{place}", address="198.51.100.1") for place in range(30)]
    assert {answered.status_code for answered in told} == {401, 429}
    assert int(told[-1].headers["retry-after"]) >= 1
    assert ask(guarded, provider.token(sub="a"), address="198.51.100.1").status_code == 429
    assert ask(guarded, provider.token(sub="b"), address="198.51.100.2").status_code == 200


def test_whoever_is_turned_away_is_told_by_network_and_no_further(guarded: Scorer) -> None:
    refused = ask(guarded, "no.such.token", address="203.0.113.77")
    line = guarded.wait("turned_away", request=refused.headers["x-request-id"])
    assert (line["status"], line["network"]) == (401, "203.0.113.0/24")
    assert not any("203.0.113.77" in json.dumps(line) for line in guarded.lines)


def test_whoever_guesses_cannot_say_that_another_did(guarded: Scorer, provider: Provider) -> None:
    def told(token: str, first: str, by_proxy: str) -> int:
        lines = [("authorization", f"Bearer {token}"), ("x-forwarded-for", first), ("x-forwarded-for", by_proxy)]
        return guarded.http.post(INFER, json=REQUEST, headers=lines).status_code

    guessed = [told(f"guess-{place}", f"192.0.2.{place}", "198.51.100.9") for place in range(30)]
    assert set(guessed) == {401, 429}
    assert told(provider.token(sub="c"), "198.51.100.9", "192.0.2.77") == 200
    assert told(provider.token(sub="d"), "192.0.2.77", "198.51.100.9") == 429


def test_an_api_key_opens_though_others_behind_its_address_guess(folder: Path, keys_by_role: dict[str, str]) -> None:
    tokens = Tokens(folder / "keys.json", None)
    for place in range(30):
        with pytest.raises(TokenRefused):
            tokens.actor(f"Bearer guess-{place}", "a")
    assert tokens.actor(f"Bearer {keys_by_role['score']}", "a").name == "shop-score"


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("10.1.2.3:55", ["192.0.2.1", "192.0.2.2, 192.0.2.3"], "192.0.2.3"),
        ("[::ffff:10.1.2.3]:55", ["192.0.2.1"], "192.0.2.1"),
        ("10.1.2.3:55", ["2001:db8::1"], "2001:db8::1"),
        ("10.1.2.3:55", ["192.0.2.1, unknown"], "10.1.2.3"),
        ("10.1.2.3:55", [], "10.1.2.3"),
        ("11.1.2.3:55", ["192.0.2.1"], "11.1.2.3"),
        ("[2001:db8::2]:55", ["192.0.2.1"], "2001:db8::2"),
    ],
)
def test_only_the_last_address_of_a_proxy_of_ours_is_believed(client: str, forwarded: list[str], address: str) -> None:
    assert address_of(client, forwarded, [ipaddress.ip_network("10.0.0.0/8")]) == address


def test_a_verified_token_is_remembered_until_it_ends(tokens: Tokens, provider: Provider) -> None:
    header = f"Bearer {provider.token(exp=int(time.time()) - 28)}"  # clocks may differ by 30 s
    assert tokens.actor(header, "a") is tokens.actor(header, "a")
    deadline = time.monotonic() + 10
    with pytest.raises(TokenRefused, match="has expired"):  # noqa: PT012  # until it has
        while time.monotonic() < deadline:
            tokens.actor(header, "a")
            time.sleep(0.05)


def test_roles_may_lie_deeper_in_a_token(folder: Path, provider: Provider) -> None:
    tokens = Tokens(None, Issuer(ISSUER, AUDIENCE, "realm_access.roles", folder / "jwks.json"))
    found = tokens.actor(f"Bearer {provider.token(realm_access={'roles': ['read', 'offline_access']})}", "a")
    assert found.roles == {"read"}


def test_a_key_that_is_taken_out_opens_nothing_more(
    access: Access, store: Store, keys: tuple[str, str], xgboost_version: str, tmp_path: Path
) -> None:
    promote(store, xgboost_version, "")
    path = tmp_path / "keys.json"
    kept, kept_entry = new_key("kept", ["score"])
    gone, gone_entry = new_key("gone", ["score"])
    add_key(path, kept_entry)
    add_key(path, gone_entry)
    assert gone not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    with running(access, keys[1], QUIPU_AUTH_KEYS_FILE=str(path), QUIPU_SCORER_RATE="5") as scorer:
        assert (ask(scorer, kept).status_code, ask(scorer, gone).status_code) == (200, 200)
        path.write_text("[")
        scorer.wait("keys_not_refreshed")
        assert ask(scorer, gone).status_code == 200
        path.unlink()
        add_key(path, kept_entry)
        scorer.wait("keys_changed", api_keys=1)
        assert (ask(scorer, kept).status_code, ask(scorer, gone).status_code) == (200, 401)
        told = [ask(scorer, kept) for _ in range(12)]
        assert {answered.status_code for answered in told} == {200, 429}
        assert told[-1].headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"QUIPU_SCORER_HOST": "0.0.0.0"}, "The scorer would answer anybody on 0.0.0.0; give QUIPU_AUTH_KEYS_FILE"),
        ({"QUIPU_AUTH_KEYS_FILE": "/nowhere"}, "/nowhere cannot be read: No such file or directory."),
        ({"QUIPU_AUTH_ISSUER": ISSUER}, "QUIPU_AUTH_ISSUER and QUIPU_AUTH_AUDIENCE go together"),
        (
            {"QUIPU_AUTH_ISSUER": "http://login.example.org", "QUIPU_AUTH_AUDIENCE": "quipu"},
            "http://login.example.org/.well-known/openid-configuration is not https",
        ),
        ({"QUIPU_AUTH": "off", "QUIPU_AUTH_KEYS_FILE": "/nowhere"}, "QUIPU_AUTH=off contradicts"),
        ({"QUIPU_SCORER_PROXIES": "everywhere"}, "QUIPU_SCORER_PROXIES holds no list of networks"),
    ],
)
def test_a_configuration_that_protects_nothing_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], sentence: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
        listening_from_environment()


def test_everybody_may_ask_where_the_environment_says_so_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listening_from_environment().host == "127.0.0.1"
    monkeypatch.setenv("QUIPU_SCORER_HOST", "0.0.0.0")
    monkeypatch.setenv("QUIPU_AUTH", "off")
    assert listening_from_environment().tokens is None


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    _, entry = new_key("shop", ["score"])
    add_key(tmp_path / "keys.json", entry)
    with pytest.raises(InputError, match="has a key 'shop' already"):
        add_key(tmp_path / "keys.json", entry)
    entries = json.loads((tmp_path / "keys.json").read_text())
    (tmp_path / "keys.json").write_text(json.dumps(entries * 2))
    with pytest.raises(InputError, match="two keys of one name"):
        read_keys(tmp_path / "keys.json")


@pytest.fixture
def published(provider: Provider) -> Iterator[tuple[str, Callable[[bytes], None]]]:
    """The address of a server that publishes keys as an issuer does, and how to change them."""
    answers: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path, b"")
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    answers["/.well-known/openid-configuration"] = json.dumps(
        {"issuer": address, "jwks_uri": f"{address}/keys"}
    ).encode()
    answers["/keys"] = provider.jwks()
    yield address, lambda document: answers.update({"/keys": document})
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_issuers_keys_are_fetched_by_discovery(
    published: tuple[str, Callable[[bytes], None]], provider: Provider
) -> None:
    address, change = published
    tokens = Tokens(None, Issuer(address, AUDIENCE))
    assert tokens.actor(f"Bearer {provider.token(iss=address)}", "a").roles == {"score"}
    change(b"{}")
    with pytest.raises(InputError, match="is not a set of keys"):
        fetch_key_set(address)
    assert tokens.actor(f"Bearer {provider.token(iss=address, sub='other')}", "a").name == "other"
    with pytest.raises(InputError, match="speaks of another issuer"):
        fetch_key_set(address + "/")


def test_only_public_keys_that_are_long_enough_may_sign(provider: Provider) -> None:
    (good,) = json.loads(provider.jwks())["keys"]
    short = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(os.urandom(32)).decode(), "alg": "HS256", "kid": "s"}
    curve = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    entries = [good, short | {"kid": "short"}, secret, curve | {"kid": "curve"}, good | {"kid": "e", "use": "enc"}]
    assert set(read_key_set(json.dumps({"keys": entries}).encode(), "keys")) == {"k1", "curve"}
    with pytest.raises(InputError, match="holds no public key"):
        read_key_set(json.dumps({"keys": [secret]}).encode(), "keys")
