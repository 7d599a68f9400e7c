import importlib.metadata

import pytest


def test_airflow_is_at_hand_for_the_other_tests_of_this_folder() -> None:
    try:
        version = importlib.metadata.version("apache-airflow-core")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no Airflow here: 'make airflow-test' runs its tests in an environment of their own")
    assert version.startswith("3.3")
