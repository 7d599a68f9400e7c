"""The service and the batch give the same score: on the applications of a whole run."""

from pathlib import Path

from components.credit.book.store import Store
from pipelines.embedded import embedded_store
from tests.pipelines.conftest import Outcome
from tests.pipelines.parity import FAMILIES, compare


def test_the_service_gives_an_application_the_score_that_the_batch_gives_it(finished: tuple[Path, Outcome]) -> None:
    run, _ = finished
    with embedded_store(run / "store") as access:
        found = list(compare(run, Store(access), (run / "verify.pem").read_text(), 300))
    assert [compared.family for compared in found] == list(FAMILIES)
    for compared in found:
        assert compared.applications == 300
        assert compared.differences == []
