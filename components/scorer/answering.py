"""Which models answer: the champion, and perhaps a challenger in its shadow."""

from components.scorer.challenger import Challenger
from components.scorer.decisions.spool import Spool
from components.scorer.model import Model
from components.scorer.watching.distributions import Distributions
from components.scorer.watching.metrics import show_model


class Answering:
    """The models that answer requests; whoever follows the pointers of the registry changes them.

    Args:
        model: The champion.
        spool: Takes the decisions of a challenger.
    """

    def __init__(self, model: Model, spool: Spool) -> None:
        self.distributions = Distributions()
        self.challenger: Challenger | None = None
        self._spool = spool
        self.take(model)

    def take(self, model: Model) -> None:
        """Let this model answer from now on."""
        self.model = model
        self.distributions.add(model.version, model.histograms)
        show_model(model.version, model.scorer.family, model.package.as_of)

    def take_challenger(self, model: Model | None) -> None:
        """Let this model, or none, score beside the champion from now on."""
        if self.challenger:
            self.challenger.end()
        self.challenger = Challenger(model, self._spool) if model else None
        self.model.standing.challenger = model.version if model else None
