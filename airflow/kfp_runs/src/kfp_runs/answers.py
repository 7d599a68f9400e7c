"""The server's answers as typed values; what nobody here reads is left out.

Times are UTC. A time before 2000 is the server's way to say that something has not happened.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec


class Step(msgspec.Struct, frozen=True):
    """One entry of a run's history of states, oldest first."""

    state: str | None = None


class Child(msgspec.Struct, frozen=True):
    """A node below another; its ``pod_name`` is ``<workflow>-<number>``."""

    pod_name: str | None = None


class Node(msgspec.Struct, frozen=True):
    """A node of the workflow: a task of the pipeline, or what stands around one.

    A node without a name says nothing; one without a state never started.
    """

    display_name: str | None = None
    state: str | None = None
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    child_tasks: list[Child] | None = None

    @property
    def children(self) -> list[str]:
        """Names of the nodes below, oldest attempt first."""
        return [child.pod_name for child in self.child_tasks or [] if child.pod_name]


class Details(msgspec.Struct, frozen=True):
    """The nodes of a run."""

    task_details: list[Node] | None = None


class Problem(msgspec.Struct, frozen=True):
    """An error that the server keeps with a run."""

    message: str | None = None


class VersionReference(msgspec.Struct, frozen=True, omit_defaults=True):
    """The pipeline and the version that a run is of."""

    pipeline_id: str = ""
    pipeline_version_id: str = ""


class RuntimeConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """Parameters of a run, and where its artifacts go (empty: the server's default)."""

    parameters: dict[str, Any]
    pipeline_root: str = ""


class Started(msgspec.Struct, frozen=True):
    """What a run was started with, as the server keeps it."""

    parameters: dict[str, Any] | None = None


class PipelineInfo(msgspec.Struct, frozen=True):
    """Name of a compiled pipeline."""

    name: str = ""


class DeclaredParameter(msgspec.Struct, frozen=True, rename="camel"):
    """A parameter as a compiled pipeline declares it."""

    parameter_type: str = ""
    default_value: Any = msgspec.UNSET
    is_optional: bool = False


class InputDefinitions(msgspec.Struct, frozen=True):
    """The parameters that a compiled pipeline declares."""

    parameters: dict[str, DeclaredParameter] = {}


class Root(msgspec.Struct, frozen=True, rename="camel"):
    """The root of a compiled pipeline."""

    input_definitions: InputDefinitions = InputDefinitions()


class PipelineSpec(msgspec.Struct, frozen=True):
    """A compiled pipeline, with (``pipeline_spec``) or without a platform specification beside it."""

    pipeline_info: PipelineInfo | None = msgspec.field(default=None, name="pipelineInfo")
    root: Root | None = None
    pipeline_spec: "PipelineSpec | None" = None

    @property
    def inner(self) -> "PipelineSpec":
        """The pipeline itself."""
        return self.pipeline_spec or self


class Run(msgspec.Struct, frozen=True):
    """A run with its nodes; ``kfp_runs.runs`` says what it means."""

    run_id: str = ""
    state: str = "RUNTIME_STATE_UNSPECIFIED"
    created_at: datetime | None = None
    finished_at: datetime | None = None
    state_history: list[Step] | None = None
    run_details: Details | None = None
    runtime_config: Started | None = None
    pipeline_spec: PipelineSpec | None = None
    pipeline_version_reference: VersionReference | None = None
    error: Problem | None = None

    @property
    def nodes(self) -> list[Node]:
        """The nodes that have a name."""
        return [node for node in (self.run_details or Details()).task_details or [] if node.display_name]


class Runs(msgspec.Struct, frozen=True):
    """One page of runs."""

    runs: list[Run] | None = None


class Experiment(msgspec.Struct, frozen=True):
    """An experiment."""

    experiment_id: str
    display_name: str = ""


class Experiments(msgspec.Struct, frozen=True):
    """One page of experiments."""

    experiments: list[Experiment] | None = None


class Pipeline(msgspec.Struct, frozen=True):
    """A pipeline on the server."""

    pipeline_id: str
    name: str = ""
    display_name: str = ""

    @property
    def title(self) -> str:
        """The name that people see."""
        return self.name or self.display_name


class Pipelines(msgspec.Struct, frozen=True):
    """One page of pipelines."""

    pipelines: list[Pipeline] | None = None


class Version(msgspec.Struct, frozen=True):
    """A version of a pipeline."""

    pipeline_version_id: str
    name: str = ""
    display_name: str = ""
    pipeline_spec: PipelineSpec | None = None


class Versions(msgspec.Struct, frozen=True):
    """One page of versions."""

    pipeline_versions: list[Version] | None = None


class Health(msgspec.Struct, frozen=True):
    """What the server says of itself."""

    tag_name: str = ""


class NewRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run to create, in the form of the API; its id is chosen by us.

    Attributes:
        run_id: A UUID.
        display_name: Name in the web page.
        pipeline_version_reference: What to run.
        runtime_config: Its parameters.
        description: Text in the web page.
        experiment_id: Where it belongs; empty for the server's default.
        service_account: Account of its pods; empty for the server's default.
    """

    run_id: str
    display_name: str
    pipeline_version_reference: VersionReference
    runtime_config: RuntimeConfig
    description: str = ""
    experiment_id: str = ""
    service_account: str = ""


def happened(moment: datetime | None) -> datetime | None:
    """A time in UTC; None for the server's ways to say that it has not come."""
    if moment is None or moment.year < 2000:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
