"""The small book in the store, and the three models that the training stages fit to it."""

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.credit.book.manifest import Manifest
from components.credit.book.store import Store
from components.credit.models.scorer import Scorer
from components.credit.progress import Progress
from components.train_sklearn.training import train as train_sklearn
from components.train_xgboost.training import train as train_xgboost
from tests.credit.models.book import CONFIG, DICTIONARY, FAMILIES, make_odd_rows, make_rows

Publish = Callable[[pd.DataFrame], Manifest]


@pytest.fixture(scope="session")
def publish(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Publishes rows as a feature table in two partitions."""

    def publish(rows: pd.DataFrame) -> Manifest:
        folder = tmp_path_factory.mktemp("features")
        (folder / "features").mkdir()
        table = pa.Table.from_pandas(rows, preserve_index=False)
        for part in range(2):
            pq.write_table(
                table.slice(part * len(rows) // 2, len(rows) // 2), folder / "features" / f"part-{part:05}.parquet"
            )
        return store.publish(
            "features", "2025-06-30", folder, inputs={}, code="r1", notes={"recipe": {"currency": "PEN"}}
        )

    return publish


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    return make_rows(2_400, 3)


@pytest.fixture(scope="session")
def book(rows: pd.DataFrame, publish: Publish) -> Manifest:
    return publish(rows)


@pytest.fixture(scope="session")
def scorers(book: Manifest, store: Store) -> dict[str, Scorer]:
    return _trained(book, store)


@pytest.fixture(params=FAMILIES)
def scorer(request: pytest.FixtureRequest, scorers: dict[str, Scorer]) -> Scorer:
    """Each family in turn."""
    return scorers[request.param]


@pytest.fixture(scope="session")
def odd_rows() -> pd.DataFrame:
    return make_odd_rows()


@pytest.fixture(scope="session")
def again(book: Manifest, store: Store) -> dict[str, Scorer]:
    """The same training once more."""
    return _trained(book, store)


def _trained(book: Manifest, store: Store) -> dict[str, Scorer]:
    progress = Progress("train")
    card, forest = train_sklearn(book, DICTIONARY, CONFIG, store, progress)
    boosting = train_xgboost(book, DICTIONARY, CONFIG, store, progress)
    return {"scorecard": card, "random_forest": forest, "xgboost": boosting}
