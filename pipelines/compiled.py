"""What is generated and committed: the compiled specs, the reference of the components, the schema of the decision."""

import os
import sys
import warnings
from pathlib import Path

import msgspec
from kfp import compiler
from kfp.dsl.base_component import BaseComponent

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.feature.component import feature
from components.ingest.component import ingest
from components.monitor.component import monitor
from components.score.component import score
from components.train_sklearn.component import train_sklearn
from components.train_xgboost.component import train_xgboost
from components.validate.component import validate
from pipelines.monitoring import monitoring
from pipelines.promotion import promotion
from pipelines.reference import reference
from pipelines.scoring import scoring
from pipelines.training import training

_ROOT = Path(__file__).parent.parent

SPECS: dict[Path, BaseComponent] = {
    **{
        _ROOT / "components" / folder / "component.yaml": component
        for folder, component in {
            "ingest": ingest,
            "validate": validate,
            "feature": feature,
            "train_sklearn": train_sklearn,
            "train_xgboost": train_xgboost,
            "evaluate": evaluate,
            "deploy": deploy,
            "score": score,
            "monitor": monitor,
        }.items()
    },
    _ROOT / "pipelines" / "training.yaml": training,
    _ROOT / "pipelines" / "scoring.yaml": scoring,
    _ROOT / "pipelines" / "monitoring.yaml": monitoring,
    _ROOT / "pipelines" / "promotion.yaml": promotion,
}


REFERENCE = _ROOT / "components" / "README.md"
DECISION_SCHEMA = _ROOT / "docs" / "reference" / "decision.schema.json"


def reference_text() -> str:
    """Content of ``REFERENCE`` by the committed specs of the components."""
    return reference({path: component for path, component in SPECS.items() if path.name == "component.yaml"})


def decision_schema() -> bytes:
    """Content of ``DECISION_SCHEMA``: the JSON schema of ``decision.json``, for analysts and auditors."""
    from components.evaluate.record import Evaluation  # with scikit-learn and XGBoost, which nothing else here needs

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema = msgspec.json.encode(dialect | msgspec.json.schema(Evaluation), order="sorted")
    return msgspec.json.format(schema, indent=1) + b"\n"


def compile_to(component: BaseComponent, path: Path) -> None:
    """Compile a component or pipeline to YAML."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(component, str(path))


def main() -> None:
    """Compile what is committed; or, for a cluster, all of it into the folder of the argument, else build/compiled.

    For a cluster is what an argument asks for, and what QUIPU_IMAGE_* or QUIPU_NODE_SELECTOR change: the committed
    specs name the images and the nodes of nobody.
    """
    if len(sys.argv) > 1 or any(name.startswith(("QUIPU_IMAGE_", "QUIPU_NODE_SELECTOR")) for name in os.environ):
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "build" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        for spec, source in SPECS.items():
            name = f"component-{spec.parent.name}.yaml" if spec.name == "component.yaml" else spec.name
            compile_to(source, folder / name)
            print(folder / name)
        return
    for spec, source in SPECS.items():
        compile_to(source, spec)
        print(spec.relative_to(_ROOT))
    REFERENCE.write_text(reference_text(), encoding="utf-8")
    DECISION_SCHEMA.write_bytes(decision_schema())


if __name__ == "__main__":
    main()
