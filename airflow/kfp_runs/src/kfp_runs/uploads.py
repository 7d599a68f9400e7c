"""Pipelines, versions and experiments, each made once, whoever else makes it at the same moment."""

from collections.abc import Iterable
from typing import NamedTuple

from kfp_runs import calls
from kfp_runs.answers import Pipeline, PipelineSpec, Version, VersionReference
from kfp_runs.client import Client
from kfp_runs.errors import Conflict, NotFound, Rejected, Unavailable
from kfp_runs.parameters import Parameter, nearest, parameters_of_spec


class Resolved(NamedTuple):
    """A version of a pipeline on the server and the parameters that it takes."""

    reference: VersionReference
    parameters: dict[str, Parameter]


def resolve_pipeline(client: Client, name: str, version: str | None) -> Resolved:
    """A pipeline and one of its versions.

    Args:
        client: The server.
        name: Name of the pipeline.
        version: Name of the version; None is the newest.

    Raises:
        Rejected: There is no such pipeline or version; the nearest names are offered.
    """
    server = client.server
    try:
        pipeline = client.ask(calls.pipeline_by_name(name, server.namespace))
    except NotFound:
        known = [one.title for one in client.ask(calls.list_pipelines(server.namespace)).pipelines or []]
        within = f" in the namespace '{server.namespace}'" if server.namespace else ""
        raise Rejected(
            f"There is no pipeline '{name}' at {server.url}{within}{nearest(name, known)}; "
            "upload it, or correct 'pipeline_name'."
        ) from None
    versions = client.ask(calls.list_versions(pipeline.pipeline_id)).pipeline_versions or []
    if not versions:
        raise Rejected(f"The pipeline '{name}' has no version; upload one.")
    chosen = _named(versions, version) if version else versions[0]
    if chosen is None:
        known = [one.name or one.display_name for one in versions]
        raise Rejected(
            f"The pipeline '{name}' has no version '{version}'{nearest(str(version), known)}; "
            "upload it, or correct 'pipeline_version'."
        )
    parameters = parameters_of_spec(chosen.pipeline_spec or PipelineSpec())
    return Resolved(VersionReference(pipeline.pipeline_id, chosen.pipeline_version_id), parameters)


def upload(client: Client, name: str, version: str, package: tuple[str, bytes]) -> VersionReference:
    """Put a compiled pipeline on the server; a version that is there already is left as it is.

    Args:
        client: The server.
        name: Name of the pipeline.
        version: Name of the version.
        package: File name and bytes of the compiled pipeline.
    """
    pipeline = _pipeline(client, name, package).pipeline_id
    present = _named(client.ask(calls.list_versions(pipeline)).pipeline_versions or [], version)
    if present is None:
        try:
            present = client.ask(calls.upload_version(pipeline, version, package))
        except Conflict:  # another submitter was first
            present = _named(client.ask(calls.list_versions(pipeline)).pipeline_versions or [], version)
            if present is None:
                raise
    return VersionReference(pipeline, present.pipeline_version_id)


def ensure_experiment(client: Client, name: str) -> str:
    """Id of the experiment of that name, which is made where there is none."""
    try:
        return client.ask(calls.create_experiment(name, client.server.namespace)).experiment_id
    except Conflict:
        experiment = experiment_named(client, name)
    if not experiment:
        raise Unavailable(f"The experiment '{name}' exists at {client.server.url} but cannot be listed.")
    return experiment


def experiment_named(client: Client, name: str) -> str:
    """Id of the experiment of that name; empty where there is none."""
    listed = client.ask(calls.find_experiment(name, client.server.namespace)).experiments or []
    return next((one.experiment_id for one in listed if one.display_name == name), "")


def _pipeline(client: Client, name: str, package: tuple[str, bytes]) -> Pipeline:
    namespace = client.server.namespace
    try:
        return client.ask(calls.pipeline_by_name(name, namespace))
    except NotFound:
        try:
            return client.ask(calls.upload_pipeline(name, namespace, package))
        except Conflict:  # another submitter was first
            return client.ask(calls.pipeline_by_name(name, namespace))


def _named(versions: Iterable[Version], name: str) -> Version | None:
    return next((one for one in versions if name in (one.name, one.display_name)), None)
