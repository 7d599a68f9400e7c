"""Interface of the evaluate stage."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

from components.container import container


@container("evaluate")
def evaluate(
    features: Input[Dataset],
    validation: Input[Artifact],
    scorecard: Input[Model],
    random_forest: Input[Model],
    xgboost: Input[Model],
    config: str,
    champion: Output[Model],
    decision: Output[Artifact],
    report: Output[HTML],
    tables: Output[Artifact],
    model_card: Output[Markdown],
    model_card_data: Output[Artifact],
    metrics: Output[Metrics],
    curves: Output[ClassificationMetrics],
):
    """Compare the three models on the test set, choose the champion and write the committee's report.

    Args:
        features: Manifest of the feature table.
        validation: Report of the validate stage.
        scorecard: Folder of the scorecard.
        random_forest: Folder of the random forest.
        xgboost: Folder of the XGBoost model.
        config: Configuration file: a path or s3:// address.

    Returns:
        champion: Folder of the model that won.
        decision: Figures of all models, the champion and why (JSON).
        report: The committee's report, one self-contained page.
        tables: Folder of the same numbers as tables, CSV and Parquet, for analysts.
        model_card: Card of the champion for compliance (Markdown).
        model_card_data: The same card (JSON).
        metrics: Figures of the champion.
        curves: ROC curve and confusion matrix of the champion.
    """
    from pathlib import Path

    from components.credit.book.documents import read_config, read_record, write_json
    from components.credit.book.store import Store, access_from_environment, read_manifest
    from components.credit.book.validation import ValidationReport
    from components.credit.models.scorer import WITH_REJECTS, load, save
    from components.credit.progress import stage
    from components.evaluate import modelcard
    from components.evaluate.comparison import compare
    from components.evaluate.report import page
    from components.evaluate.tables import write_tables

    with stage("evaluate") as progress:
        inferred = Path(scorecard.path) / WITH_REJECTS
        comparison = compare(
            read_manifest(features.path),
            {
                name: load(folder.path)
                for name, folder in {"scorecard": scorecard, "random_forest": random_forest, "xgboost": xgboost}.items()
            },
            read_config(config),
            Store(access_from_environment()),
            progress,
            with_rejects=load(inferred) if inferred.is_dir() else None,
        )
        save(comparison.champion, champion.path)
        write_json(decision.path, comparison.decision)
        with open(report.path, "w", encoding="utf-8") as opened:
            opened.write(page(comparison, read_record(validation.path, ValidationReport)))
        write_tables(comparison, Path(tables.path))
        card = modelcard.model_card(comparison)
        write_json(model_card_data.path, card)
        Path(model_card.path).write_text(modelcard.markdown(card), encoding="utf-8")
        for name, value in comparison.headline.items():
            metrics.log_metric(name, value)
        curves.log_roc_curve(*comparison.roc)
        curves.log_confusion_matrix(["good", "bad"], comparison.confusion)
