"""The promotion pipeline: what a training run registered becomes the champion, once somebody has approved it."""

from kfp import dsl

from components.deploy.component import promote
from pipelines.pods import on_cluster


@dsl.pipeline(name="quipu-promotion", description="Make the model that a training run registered the champion")
def promotion(as_of: str, code: str, target: str, training_run: str, approved_by: str) -> None:
    """Move the champion pointer to the model of a training run.

    Args:
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
        target: Where the scorer runs.
        training_run: Id of the training run.
        approved_by: Who approved.
    """
    promoted = promote(training_run=training_run, approved_by=approved_by, as_of=as_of, code=code, target=target)
    on_cluster(promoted, "deploy")
