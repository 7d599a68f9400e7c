"""A small trained scorecard and a key pair, as the tests of the deploy stage have them."""

from tests.deploy.conftest import keys, train

__all__ = ["keys", "train"]
