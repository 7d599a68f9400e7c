"""The scoring pipeline: the applications of a lender's tables, scored by the champion of the registry.

1. ingest reads and pseudonymises the lender's tables
2. validate puts bad rows in quarantine, or stops the run
3. plan asks the registry for the champion and deals out the partitions of borrowers
4. feature makes what the champion takes, for some partitions
5. score scores them, and writes probability, points, band, proposal and reasons
6. report joins the scores and says how they are spread

Features and scores are made side by side, a task for each group of partitions.
"""

from kfp import dsl

from components.feature.component import feature_for_model
from components.ingest.component import ingest
from components.score.component import plan, report, score
from components.validate.component import validate
from pipelines.pods import on_cluster

STAGES = ("ingest", "validate", "plan", "feature", "score", "report")
AT_ONCE = 4  # groups of partitions on a cluster


@dsl.pipeline(name="quipu-scoring", description="Score a lender's applications with the champion of the registry")
def scoring(source: str, mapping: str, config: str, as_of: str, code: str) -> None:
    """Score the applications that were decided by the as-of day.

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
    with dsl.ParallelFor(planned.outputs["Output"], name="partitions", parallelism=AT_ONCE) as partitions:
        made = feature_for_model(
            clean=clean, model=planned.outputs["model"], config=config, code=code, partitions=partitions
        )
        made.set_display_name("feature")
        scored = score(features=made.outputs["features"], model=planned.outputs["model"], code=code)
    reported = report(
        parts=dsl.Collected(scored.outputs["scores"]),
        tallies=dsl.Collected(scored.outputs["tally"]),
        config=config,
        code=code,
    )
    for stage, task in zip(STAGES, (ingested, validated, planned, made, scored, reported), strict=True):
        on_cluster(task, stage)
