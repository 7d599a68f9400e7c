"""Candidates of a search for hyper-parameters."""

from collections.abc import Collection
from itertools import product
from typing import Any

import numpy as np

from components.credit.errors import InputError, nearest


def draw_candidates(
    space: dict[str, list[Any]], count: int, seed: int, known: Collection[str], setting: str
) -> list[dict[str, Any]]:
    """Different combinations of the values of a space, drawn at random; all of them where they are few.

    Args:
        space: Values to choose from, by parameter.
        count: Combinations to draw.
        seed: Seed of the draw.
        known: Parameters that the model has.
        setting: Key of the space in the configuration, for the message.

    Raises:
        InputError: A parameter that the model does not have, or one without values.
    """
    for name, values in space.items():
        if name not in known:
            raise InputError(f"{setting} names '{name}', which the model does not have{nearest(name, known) or '.'}")
        if not values:
            raise InputError(f"{setting}.{name} has no values; give at least one, or leave it out.")
    combinations = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    order = np.random.default_rng(seed).permutation(len(combinations))
    return [combinations[i] for i in order[:count]]
