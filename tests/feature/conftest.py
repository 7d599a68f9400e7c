"""The features and labels that follow from a small history."""

from collections.abc import Callable, Iterator

import pytest

from components.credit.config import Target
from components.credit.features.engine import connect
from components.credit.features.recipe import Recipe
from components.feature.target import label_query
from tests.feature.batch import Batch
from tests.feature.histories import PERU, Row, Rows, arrow


@pytest.fixture(scope="session")
def planned() -> Iterator[Batch]:
    """The scorer's way, planned once."""
    history = Batch(PERU)
    yield history
    history.close()


@pytest.fixture
def features(planned: Batch) -> Callable[[Rows], Row]:
    """The features of the one application in some rows."""

    def make(rows: Rows) -> Row:
        (made,) = planned.features_of(arrow(rows, PERU)).to_pylist()
        return dict(made)

    return make


@pytest.fixture
def label() -> Callable[..., str]:
    """The label of the one application in some rows, as of a day."""

    def make(rows: Rows, as_of: str, target: Target | None = None, recipe: Recipe = PERU) -> str:
        connection = connect(recipe, threads=1, memory="256MB")
        try:
            for name, table in arrow(rows, recipe).items():
                connection.register(name, table)
            found = connection.sql(label_query(target or Target(), recipe, as_of)).select("label").fetchall()
        finally:
            connection.close()
        return str(found[0][0]) if found else "not there"

    return make
