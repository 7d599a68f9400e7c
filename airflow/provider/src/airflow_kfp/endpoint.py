"""Where the API server is and who we are there, as an Airflow connection says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from kfp_runs.server import Server

from airflow_kfp.errors import KfpRejected

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
class Endpoint(Server):
    """An API server, our identity there, and its web page.

    Attributes:
        ui_url: Root of the web page, for links.
    """

    ui_url: str = ""

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
