"""Interface of the deploy stage."""

from kfp.dsl import Artifact, Input, Model, Output

from components.container import container


@container("deploy")
def deploy(
    champion: Input[Model], decision: Input[Artifact], target: str, code: str, run: str, release: Output[Artifact]
):
    """Sign the champion, put it in the registry and move the champion pointer to it.

    Args:
        champion: Folder of the model that won.
        decision: Figures of all models, the champion and why.
        target: Where the scorer runs; local means that it only follows the pointer, registry that the model waits
            there until it is promoted, kubernetes that it is rolled out on the cluster.
        code: Revision of the code.
        run: Id of the run that made the model; QUIPU_RUN goes before it, for runners that cannot give it.

    Returns:
        release: Model version, its address in the registry and what the pointer held before (JSON).
    """
    import os

    from components.credit.book.documents import write_json
    from components.credit.book.store import Store, access_from_environment
    from components.credit.progress import stage
    from components.credit.release.decision import read_decision
    from components.deploy.release import release as release_model

    with stage("deploy") as progress:
        released = release_model(
            champion.path,
            read_decision(decision.path),
            target,
            code,
            os.environ.get("QUIPU_RUN") or run,
            Store(access_from_environment()),
            progress,
        )
        write_json(release.path, released)


@container("deploy")
def promote(training_run: str, approved_by: str, as_of: str, code: str, target: str, release: Output[Artifact]):
    """Make the model that a training run registered the champion.

    Args:
        training_run: Id of the training run.
        approved_by: Who approved.
        as_of: As-of day, YYYY-MM-DD.
        code: Revision of the code.
        target: Where the scorer runs; local means that it only follows the pointer, kubernetes that it is rolled out
            on the cluster.

    Returns:
        release: Model version, its address in the registry and what the pointer held before (JSON).
    """
    from components.credit.book.documents import write_json
    from components.credit.book.store import Store, access_from_environment
    from components.credit.progress import stage
    from components.credit.settings import secret
    from components.deploy.promotion import promote_run

    with stage("promote") as progress:
        verify_key = secret("QUIPU_VERIFY_KEY")
        store = Store(access_from_environment())
        write_json(
            release.path,
            promote_run(training_run, approved_by, as_of, code, target, verify_key, store, progress),
        )
