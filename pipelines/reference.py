"""The reference of the components in ``components/README.md``, made from their compiled specs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp.dsl.base_component import BaseComponent

_HEAD = """# Components

Each is a Kubeflow Pipelines component on an image of its own, and runs in a pipeline of anybody's:

```python
from kfp import components, dsl

ingest = components.load_component_from_file("components/ingest/component.yaml")
validate = components.load_component_from_file("components/validate/component.yaml")
```

[pipelines/quality.py](../pipelines/quality.py) is such a pipeline of two. A table of data is handed on as a manifest, a
small file that names the Parquet in the store; the store and its credential come from the environment
(`QUIPU_STORE_ENDPOINT`, `QUIPU_STORE_ACCESS_KEY`, `QUIPU_STORE_SECRET_KEY`), which
[pipelines/pods.py](../pipelines/pods.py) sets from a ConfigMap and a Secret a stage. This page is made from the specs
by `make compile`.
"""


def reference(specs: Mapping[Path, BaseComponent]) -> str:
    """Markdown with the inputs, parameters and outputs of each component.

    Args:
        specs: Components by the path of their compiled spec.
    """
    return _HEAD + "".join(
        _component(next(yaml.safe_load_all(path.read_text(encoding="utf-8"))), component.description or "")
        for path, component in specs.items()
    )


def _component(spec: dict[str, Any], description: str) -> str:
    inner = next(iter(spec["components"].values()))
    inputs, outputs = inner.get("inputDefinitions", {}), inner.get("outputDefinitions", {})
    rows = [
        *(("input", key, _artifact(about), about) for key, about in inputs.get("artifacts", {}).items()),
        *(("parameter", key, _parameter(about), about) for key, about in inputs.get("parameters", {}).items()),
        *(("output", key, _artifact(about), about) for key, about in outputs.get("artifacts", {}).items()),
        *(("output", key, _parameter(about), about) for key, about in outputs.get("parameters", {}).items()),
    ]
    lines = [f"| {kind} | `{key}` | {shown} | {_text(about)} |" for kind, key, shown, about in rows]
    table = ["| | name | type | what it is |", "|---|---|---|---|", *lines]
    return f"\n## {spec['pipelineInfo']['name']}\n\n{description}\n\n" + "\n".join(table) + "\n"


def _artifact(about: dict[str, Any]) -> str:
    kind = str(about["artifactType"]["schemaTitle"]).removeprefix("system.")
    return f"list of {kind}" if about.get("isArtifactList") else kind


def _parameter(about: dict[str, Any]) -> str:
    kind = str(about["parameterType"]).lower().replace("number_", "").replace("_", " ")
    return f"{kind}, default `{about['defaultValue']}`" if "defaultValue" in about else kind


def _text(about: dict[str, Any]) -> str:
    return " ".join(str(about.get("description", "")).split()).replace("|", "\\|")
