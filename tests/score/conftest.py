"""The models of the scorer's tests: a batch must give the bits that a request gets."""

from tests.scorer.models import keys, mixed, numbers, parted, put, xgboost_version

__all__ = ["keys", "mixed", "numbers", "parted", "put", "xgboost_version"]
