"""The monitoring pipeline: whether the champion still sees what it learnt from, and still forecasts what happens.

1. ingest, 2. validate, 3. plan, 4. feature: as in the scoring pipeline
5. monitor compares recent applications with the training, and forecasts with the outcomes known since
6. drift runs only where a limit was passed; that it ran is what Airflow reads
"""

from kfp import dsl

from components.feature.component import feature_for_model
from components.ingest.component import ingest
from components.monitor.component import drift, monitor
from components.score.component import plan
from components.validate.component import validate
from pipelines.pods import on_cluster
from pipelines.scoring import AT_ONCE

STAGES = ("ingest", "validate", "plan", "feature", "monitor", "drift")


@dsl.pipeline(name="quipu-monitoring", description="Watch the champion of the registry and tell of drift")
def monitoring(source: str, mapping: str, config: str, as_of: str, code: str) -> None:
    """Watch the champion on the applications that were decided by the as-of day.

    Args:
        source: Folder or landing prefix of the lender's files.
        mapping: Mapping file: a path or s3:// address.
        config: Configuration file: a path or s3:// address.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
    """
    ingested = ingest(source=source, mapping=mapping, config=config, as_of=as_of, code=code)
    validated = validate(raw=ingested.outputs["raw"], mapping=mapping, config=config, code=code)
    clean = validated.outputs["clean"]
    planned = plan(clean=clean)
    model = planned.outputs["model"]
    with dsl.ParallelFor(planned.outputs["Output"], name="partitions", parallelism=AT_ONCE) as partitions:
        made = feature_for_model(clean=clean, model=model, config=config, code=code, partitions=partitions)
        made.set_display_name("feature")
    watched = monitor(features=dsl.Collected(made.outputs["features"]), model=model, config=config)
    with dsl.If(watched.outputs["Output"] == True, name="drifted"):  # noqa: E712 - KFP compiles the comparison
        told = drift(findings=watched.outputs["findings"])
    for stage, task in zip(STAGES, (ingested, validated, planned, made, watched, told), strict=True):
        on_cluster(task, stage)
