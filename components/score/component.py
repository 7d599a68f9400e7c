"""Interface of batch scoring: the plan, the scores of some partitions, and the report."""

from typing import List

from kfp.dsl import Artifact, Dataset, Input, Markdown, Metrics, Output

from components.container import container


@container("score")
def score(
    features: Input[Dataset],
    model: Input[Artifact],
    code: str,
    scores: Output[Dataset],
    tally: Output[Artifact],
):
    """Score the applications of a feature table with a model of the registry, once it verifies.

    Args:
        features: Manifest of the model's inputs.
        model: Which model answers, as the plan says.
        code: Revision of the code.

    Returns:
        scores: Manifest of the scores: application, probability, points, band, proposal, reasons and model.
        tally: How many scores there are of each kind (JSON).
    """
    from components.credit.book.documents import read_record, write_json
    from components.credit.book.store import Store, access_from_environment, read_manifest, write_manifest
    from components.credit.features.recipe import ModelInputs
    from components.credit.import_guard import block_imports
    from components.credit.progress import stage
    from components.credit.settings import secret

    block_imports()
    from components.credit.release.released import load_released
    from components.score.batch import score_features

    with stage("score") as progress:
        store = Store(access_from_environment())
        version = read_record(model.path, ModelInputs).version
        answering = load_released(store, version, secret("QUIPU_VERIFY_KEY"))
        manifest, counts = score_features(read_manifest(features.path), answering, code, store, progress)
        write_manifest(scores.path, manifest)
        write_json(tally.path, counts)


@container("score")
def plan(clean: Input[Dataset], model: Output[Artifact]) -> list:
    """Say which model answers, what it takes, and which partitions go into one task.

    Args:
        clean: Manifest of the clean tables.

    Returns:
        model: Version of the champion, its inputs and how they are made (JSON).
        Output: First and last partition of each task.
    """
    from components.credit.book.documents import write_json
    from components.credit.book.store import Store, access_from_environment, read_manifest
    from components.credit.progress import stage
    from components.credit.release.released import champion_version, load_released
    from components.credit.settings import secret
    from components.score.plan import groups, inputs_of

    with stage("plan"):
        store = Store(access_from_environment())
        version, _ = champion_version(store)
        write_json(model.path, inputs_of(load_released(store, version, secret("QUIPU_VERIFY_KEY"))))
        return groups(len(read_manifest(clean.path).tables["applications"].parts))


@container("score")
def report(
    parts: Input[List[Dataset]],
    tallies: Input[List[Artifact]],
    config: str,
    code: str,
    scores: Output[Dataset],
    page: Output[Markdown],
    metrics: Output[Metrics],
):
    """Join the scores of all tasks and say how they are spread.

    Args:
        parts: Manifests of the scores.
        tallies: How many there are of each kind.
        config: Configuration file: a path or s3:// address.
        code: Revision of the code.

    Returns:
        scores: Manifest of all scores.
        page: Counts, bands, distribution of the points, and its stability since training.
        metrics: The figures at a glance.
    """
    from components.credit.book.documents import read_config, read_record
    from components.credit.book.store import Store, access_from_environment, read_manifest, write_manifest
    from components.credit.progress import stage
    from components.credit.release.released import load_released
    from components.credit.settings import secret
    from components.score.summary import figures, joined, shift_since_training
    from components.score.summary import page as written
    from components.score.tally import Tally, merged

    with stage("report") as progress:
        store = Store(access_from_environment())
        manifest = joined([read_manifest(part.path) for part in parts], code, store)
        counts = merged([read_record(tally.path, Tally) for tally in tallies])
        model = load_released(store, counts.model, secret("QUIPU_VERIFY_KEY"))
        shift = shift_since_training(counts, model, read_config(config))
        progress.report("report", rows=counts.rows)
        write_manifest(scores.path, manifest)
        with open(page.path, "w", encoding="utf-8") as opened:
            opened.write(written(counts, shift, manifest))
        for name, value in figures(counts, shift).items():
            metrics.log_metric(name, value)
