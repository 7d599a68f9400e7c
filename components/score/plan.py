"""The plan of a batch scoring: the model, its inputs, and the partitions of each task."""

from itertools import pairwise

from components.credit.errors import InputError
from components.credit.features.recipe import ModelInputs
from components.credit.release.released import Released

# A task costs ten seconds of scheduling on a cluster, so there are few; each takes its partitions one after another.
MOST_TASKS = 8


def inputs_of(model: Released) -> ModelInputs:
    """Inputs of a model and of the hard rules that it was released with.

    Raises:
        InputError: It takes ready features only, so that no table of a lender can be scored by it.
    """
    if model.recipe is None:
        raise InputError(f"Model {model.version} takes ready features only; train one on the lender's tables.")
    return ModelInputs(model.version, [*model.features, *model.rule_columns], model.recipe)


def groups(partitions: int) -> list[str]:
    """First and last partition of each task, such as ``0-3``; their sizes differ by one at most."""
    tasks = min(partitions, MOST_TASKS)
    starts = [partitions * task // tasks for task in range(tasks + 1)]
    return [f"{start}-{end - 1}" for start, end in pairwise(starts)]
