"""The compiled pipelines of a folder, as Kubeflow Pipelines tells of pipelines that were uploaded."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "quipu")


@dataclass(frozen=True)
class CompiledPipeline:
    """One compiled pipeline; its version follows from its content.

    Args:
        spec: Name of its file, such as ``training``.
        name: Its name, such as ``quipu-training``.
        description: What it does.
        compiled_at: When it was compiled.
        digest: SHA-256 of the file.
        documents: The pipeline's spec and, where it has one, its platform spec.
    """

    spec: str
    name: str
    description: str
    compiled_at: datetime
    digest: str
    documents: tuple[dict[str, Any], ...]

    @property
    def pipeline_id(self) -> str:
        """Id that stays the same from one version to the next."""
        return str(uuid.uuid5(_NAMESPACE, self.name))

    @property
    def version_id(self) -> str:
        """Id of this content."""
        return str(uuid.uuid5(_NAMESPACE, self.digest))

    @property
    def told(self) -> dict[str, Any]:
        """The pipeline as the API tells it."""
        return {
            "pipeline_id": self.pipeline_id,
            "name": self.name,
            "display_name": self.name,
            "description": self.description,
            "created_at": f"{self.compiled_at:%Y-%m-%dT%H:%M:%SZ}",
        }

    @property
    def told_version(self) -> dict[str, Any]:
        """The version as the API tells it; a platform spec makes it two documents in one."""
        two = dict(zip(("pipeline_spec", "platform_spec"), self.documents, strict=False))
        return self.told | {
            "pipeline_version_id": self.version_id,
            "name": self.digest[:12],
            "display_name": self.digest[:12],
            "pipeline_spec": two if len(two) > 1 else self.documents[0],
        }

    def unknown_parameters(self, given: Mapping[str, Any]) -> list[str]:
        """Those that the pipeline does not take."""
        return sorted(set(given) - set(self._parameters))

    def missing_parameters(self, given: Mapping[str, Any]) -> list[str]:
        """Those that it needs and that are not given."""
        known = self._parameters.items()
        needed = {name for name, one in known if "defaultValue" not in one and not one.get("isOptional")}
        return sorted(needed - set(given))

    @property
    def _parameters(self) -> dict[str, dict[str, Any]]:
        return (self.documents[0]["root"].get("inputDefinitions") or {}).get("parameters") or {}


def compiled_pipelines(folder: Path) -> Iterator[CompiledPipeline]:
    """The pipelines whose compiled specs lie in a folder."""
    for path in sorted(folder.glob("*.yaml")):
        content = path.read_bytes()
        documents = tuple(yaml.safe_load_all(content))
        about = documents[0]["pipelineInfo"]
        yield CompiledPipeline(
            spec=path.stem,
            name=about["name"],
            description=about.get("description", ""),
            compiled_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            digest=hashlib.sha256(content).hexdigest(),
            documents=documents,
        )
