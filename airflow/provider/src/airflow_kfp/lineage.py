"""What OpenLineage is told of a run. Imported only where its provider is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import external_query_run

_STORES = frozenset({"s3", "minio", "gs", "abfss", "hdfs"})


def lineage_of(
    value: Mapping[str, str], server: str, parameters: Mapping[str, Any], outlets: Iterable[Any]
) -> OperatorLineage[Any, Any]:
    """The parameters that are addresses in a store as inputs, the outlets as outputs, the run as external query.

    Args:
        value: XCom value of the operator.
        server: Address of the API server.
        parameters: Parameters of the run.
        outlets: Outlets of the task.
    """
    facets = {}
    if value.get("run_id"):
        facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
            externalQueryId=value["run_id"], source=server
        )
    addresses = [given for given in parameters.values() if isinstance(given, str)]
    return OperatorLineage(
        inputs=[dataset for address in addresses if (dataset := _dataset(address))],
        outputs=[dataset for outlet in outlets if (dataset := _dataset(str(getattr(outlet, "uri", ""))))],
        run_facets=facets,
    )


def _dataset(address: str) -> Dataset | None:
    """A dataset as OpenLineage names it; ``minio://`` is KFP's word for S3."""
    parts = urlsplit(address)
    if parts.scheme not in _STORES or not parts.netloc:
        return None
    scheme = "s3" if parts.scheme == "minio" else parts.scheme
    return Dataset(namespace=f"{scheme}://{parts.netloc}", name=parts.path.strip("/") or "/")
