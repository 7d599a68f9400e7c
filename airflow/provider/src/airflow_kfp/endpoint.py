"""Where the API server is and who we are there, as an Airflow connection says it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from airflow_kfp.errors import KfpRejected, KfpUnauthorized

_HTTP_PORT = 8888  # of the API server's service


class Connection(Protocol):
    """The part of an Airflow connection that is read here."""

    conn_id: str
    host: str | None
    schema: str | None
    port: int | None
    login: str | None
    password: str | None

    @property
    def extra_dejson(self) -> Mapping[str, Any]:
        """The fields of this connection type."""


@dataclass(frozen=True)
class Endpoint:
    """An API server and our identity there.

    Attributes:
        conn_id: The connection that this came from, for messages.
        url: Root of the API, without a slash at the end.
        ui_url: Root of the web page, for links.
        namespace: Namespace of experiments and pipelines where Kubeflow has several users.
        token: Bearer token that does not change.
        token_path: File of a bearer token that does; read again for each request, since Kubernetes renews it.
        ca_file: Certificates to trust instead of the system's.
        user: Value of ``user_header``.
        user_header: Header by which a proxy in front tells the user.
        timeout: Seconds that one request may take.
    """

    conn_id: str
    url: str
    ui_url: str
    namespace: str = ""
    token: str = ""
    token_path: str = ""
    ca_file: str = ""
    user: str = ""
    user_header: str = ""
    timeout: float = 30.0

    def headers(self) -> dict[str, str]:
        """Headers of one request.

        Raises:
            KfpUnauthorized: The token file cannot be read.
        """
        headers = {"Accept": "application/json"}
        token = self.token
        if self.token_path:
            try:
                token = Path(self.token_path).read_text(encoding="utf-8").strip()
            except OSError as problem:
                raise KfpUnauthorized(
                    f"The token file {self.token_path} of the connection '{self.conn_id}' cannot be read "
                    f"({problem.strerror}); mount the projected service account token there."
                ) from None
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.user_header and self.user:
            headers[self.user_header] = self.user
        return headers

    def certificates(self) -> ssl.SSLContext | bool:
        """What to check the server's certificate with; False where the line is not encrypted.

        Raises:
            KfpRejected: The file of certificates cannot be used.
        """
        if self.url.startswith("http://"):
            return False
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError):
            raise KfpRejected(
                f"The file of certificates {self.ca_file} of the connection '{self.conn_id}' cannot be read; "
                "give 'ca_file' a PEM file."
            ) from None

    def run_page(self, run_id: str) -> str:
        """Address of a run's web page."""
        return f"{self.ui_url}/#/runs/details/{quote(run_id)}"


def endpoint_of(connection: Connection) -> Endpoint:
    """Read a connection.

    The host may be a name or a whole address (``https://kubeflow.example.com/pipeline``); the schema is
    ``http`` or ``https``; the port is 8888 where only a name is given.

    Raises:
        KfpRejected: It has no host, or a field has a wrong value.
    """
    conn_id, fields = connection.conn_id, connection.extra_dejson
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise KfpRejected(
            f"The connection '{conn_id}' has no host; give it the address of the Kubeflow Pipelines API server."
        )
    schema = connection.schema or "http"
    if schema not in {"http", "https"}:
        raise KfpRejected(f"The schema of the connection '{conn_id}' is '{schema}'; it must be http or https.")
    if "://" in host:
        url = host if connection.port is None else f"{host}:{connection.port}"
    else:
        url = f"{schema}://{host}:{connection.port or (443 if schema == 'https' else _HTTP_PORT)}"
    try:
        timeout = float(fields.get("timeout") or Endpoint.timeout)
    except (TypeError, ValueError):
        timeout = -1.0
    if timeout <= 0:
        raise KfpRejected(f"The field 'timeout' of the connection '{conn_id}' must be a number of seconds above 0.")
    return Endpoint(
        conn_id=conn_id,
        url=url,
        ui_url=str(fields.get("ui_url") or url).rstrip("/"),
        namespace=str(fields.get("namespace") or ""),
        token=connection.password or "",
        token_path=str(fields.get("token_path") or ""),
        ca_file=str(fields.get("ca_file") or ""),
        user=connection.login or "",
        user_header=str(fields.get("user_header") or ""),
        timeout=timeout,
    )
