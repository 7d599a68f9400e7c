"""The one place where a stage's image gets its name."""

import os
from collections.abc import Callable
from typing import Any

# Nobody can own a name below .invalid (RFC 2606): what is compiled without images of its own asks no stranger for one.
NOBODYS = "quipu.invalid"


def image(stage: str) -> str:
    """The image of a stage: ``QUIPU_IMAGE_<STAGE>`` where set (a release sets it), else a name that nobody owns.

    Args:
        stage: Kebab-case stage name, such as ``train-sklearn``.
    """
    return os.environ.get(image_variable(stage), f"{NOBODYS}/{stage}:latest")


def image_variable(stage: str) -> str:
    """The environment variable that names a stage's image."""
    return f"QUIPU_IMAGE_{stage.upper().replace('-', '_')}"


def container(stage: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorator that makes a function the component of a stage, on the stage's own image, with nothing installed."""
    from kfp import dsl  # it takes seconds to import, which those who ask for a name alone can do without

    return lambda function: dsl.component(base_image=image(stage), install_kfp_package=False)(function)
