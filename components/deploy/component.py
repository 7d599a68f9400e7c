"""Interface of the deploy stage."""

from kfp.dsl import Artifact, Input, Model, Output

from components.container import container


@container("deploy")
def deploy(champion: Input[Model], decision: Input[Artifact], target: str, code: str, release: Output[Artifact]):
    """Sign the champion, put it in the registry and move the champion pointer to it.

    Args:
        champion: Folder of the model that won.
        decision: Figures of all models, the champion and why.
        target: Where the scorer runs; local means that it only follows the pointer.
        code: Revision of the code.

    Returns:
        release: Model version, its address in the registry and what the pointer held before (JSON).
    """
    from components.credit.documents import read_json, write_json
    from components.credit.progress import stage
    from components.credit.store import Store, access_from_environment
    from components.deploy.release import release as release_model

    with stage("deploy") as progress:
        released = release_model(
            champion.path, read_json(decision.path), target, code, Store(access_from_environment()), progress
        )
        write_json(release.path, released)
