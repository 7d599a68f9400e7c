"""The benchmark's model behind BentoML: an array in, a probability out."""

import os
from pathlib import Path

import bentoml
import numpy as np
import xgboost


@bentoml.service(workers=1)
class Quipu:
    """A booster of one thread."""

    def __init__(self) -> None:
        self._booster = xgboost.Booster({"nthread": 1}, model_file=Path(os.environ["BENCHMARK_MODEL"]))

    @bentoml.api
    def infer(self, rows: np.ndarray) -> np.ndarray:
        return self._booster.inplace_predict(rows.astype(np.float32))
