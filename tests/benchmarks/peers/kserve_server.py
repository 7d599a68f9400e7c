"""The benchmark's model behind KServe's own server, predicting as its xgbserver does: a DMatrix, then predict."""

import os
import sys

import xgboost
from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class BoosterModel(Model):
    """A booster of one thread."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._booster = xgboost.Booster({"nthread": 1}, model_file=path)
        self.ready = True

    def predict(self, payload, headers=None):
        rows = xgboost.DMatrix(get_predict_input(payload), nthread=1)
        return get_predict_response(payload, self._booster.predict(rows), self.name)


if __name__ == "__main__":
    port = int(os.environ["BENCHMARK_PORT"])
    ModelServer(http_port=port, enable_grpc=False, workers=1).start([BoosterModel("quipu", sys.argv[1])])
