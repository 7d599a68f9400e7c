"""Interface of the monitoring stage."""

from typing import List

from kfp.dsl import Artifact, Dataset, Input, Markdown, Metrics, Output

from components.container import container


@container("monitor")
def monitor(
    features: Input[List[Dataset]],
    model: Input[Artifact],
    config: str,
    findings: Output[Artifact],
    page: Output[Markdown],
    metrics: Output[Metrics],
) -> bool:
    """Compare recent applications with the champion's training, and its forecasts with the outcomes known since.

    Args:
        features: Manifests of the model's inputs.
        model: Which model is the champion, as the plan says.
        config: Configuration file: a path or s3:// address.

    Returns:
        findings: Stability of score and features, expected and matured performance, what drifted (JSON).
        page: The same for people.
        metrics: The figures at a glance.
        Output: Whether a limit was passed.
    """
    from components.credit.book.documents import read_config, read_record, write_json
    from components.credit.book.store import Store, access_from_environment, read_manifest
    from components.credit.features.recipe import ModelInputs
    from components.credit.progress import stage
    from components.credit.release.registry import fetch
    from components.credit.settings import secret
    from components.monitor.findings import find, released_psi
    from components.monitor.recent import look
    from components.monitor.report import figures
    from components.monitor.report import page as written

    with stage("monitor") as progress:
        store = Store(access_from_environment())
        package, scorer = fetch(store, read_record(model.path, ModelInputs).version, secret("QUIPU_VERIFY_KEY"))
        reference = scorer.training.reference
        inputs = [read_manifest(part.path) for part in features]
        settings = read_config(config)
        rules = package.decision.rule.policy
        seen = look(inputs, scorer, rules, reference, package.as_of, settings, store, progress)
        released = released_psi(package.decision, scorer.family)
        found = find(seen, scorer, package.version, reference, released, inputs[0].as_of, settings)
        write_json(findings.path, found)
        with open(page.path, "w", encoding="utf-8") as opened:
            opened.write(written(found))
        for name, value in figures(found).items():
            metrics.log_metric(name, value)
        return bool(found.drift)


@container("monitor")
def drift(findings: Input[Artifact]):
    """Tell of drift: in the log, and in the store where the next training finds it.

    Args:
        findings: What monitoring found.
    """
    from components.credit.book.documents import read_record
    from components.credit.book.store import DATA_BUCKET, Store, access_from_environment
    from components.credit.progress import stage
    from components.monitor.findings import Findings

    with stage("drift") as progress:
        found = read_record(findings.path, Findings)
        for sentence in found.drift:
            progress.warn(sentence)
        key = f"monitoring/drift/as_of={found.as_of}/{found.model}.json"
        with open(findings.path, "rb") as opened:
            Store(access_from_environment()).write_once(DATA_BUCKET, key, opened.read())
