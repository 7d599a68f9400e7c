"""The training pipeline: from a lender's raw tables to a champion in the registry.

1. ingest reads and pseudonymises the lender's tables
2. validate puts bad rows in quarantine, or stops the run
3. feature makes one row per application, with target and split
4. train-sklearn fits the scorecard and the random forest
5. train-xgboost fits XGBoost
6. evaluate compares them out of time and chooses the champion
7. deploy signs the champion, registers it and moves the pointer
"""

from kfp import dsl

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.feature.component import feature
from components.ingest.component import ingest
from components.train_sklearn.component import train_sklearn
from components.train_xgboost.component import train_xgboost
from components.validate.component import validate
from pipelines.pods import on_cluster
from pipelines.stages import TRAINING_STAGES


@dsl.pipeline(name="quipu-training", description="From a lender's raw tables to a champion in the registry")
def training(source: str, mapping: str, config: str, as_of: str, code: str, target: str = "local") -> None:
    """Train the three models on a lender's tables and release the champion.

    Args:
        source: Folder or landing prefix of the lender's files.
        mapping: Mapping file: a path or s3:// address.
        config: Configuration file: a path or s3:// address.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
        target: Where the scorer runs; registry means that the champion waits for the promotion pipeline.
    """
    ingested = ingest(source=source, mapping=mapping, config=config, as_of=as_of, code=code)
    validated = validate(raw=ingested.outputs["raw"], mapping=mapping, config=config, code=code)
    featured = feature(clean=validated.outputs["clean"], mapping=mapping, config=config, code=code)
    table, dictionary = featured.outputs["features"], featured.outputs["dictionary"]
    forest_and_card = train_sklearn(features=table, dictionary=dictionary, config=config)
    boosted = train_xgboost(features=table, dictionary=dictionary, config=config)
    evaluated = evaluate(
        features=table,
        validation=validated.outputs["report"],
        scorecard=forest_and_card.outputs["scorecard"],
        random_forest=forest_and_card.outputs["random_forest"],
        xgboost=boosted.outputs["xgboost"],
        config=config,
    )
    released = deploy(
        champion=evaluated.outputs["champion"],
        decision=evaluated.outputs["decision"],
        target=target,
        code=code,
        run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    )
    tasks = (ingested, validated, featured, forest_and_card, boosted, evaluated, released)
    for stage, task in zip(TRAINING_STAGES, tasks, strict=True):
        on_cluster(task, stage)
