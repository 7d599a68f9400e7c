"""Limits on how often somebody may ask."""

import time
from collections.abc import Callable

_MOST_NAMES = 10_000  # remembered at once; those that could ask at full rate again are forgotten first


class Buckets:
    """A bucket of tokens by name: it fills at a rate up to a burst, and each request takes one.

    Args:
        rate: Tokens a second.
        burst: Most tokens that a bucket holds.
        clock: Seconds that only grow.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._empty_until: dict[str, float] = {}  # when each bucket would be empty, if it filled without a bound

    def wait(self, name: str) -> float:
        """Seconds until a token is there; 0 if one is. None is taken."""
        start = self._empty_until.get(name)
        return 0.0 if start is None else max(0.0, start + 1 / self._rate - self._clock())

    def take(self, name: str) -> float:
        """Take a token; seconds until there is one where there is none, and 0 where it was taken."""
        now = self._clock()
        start = max(self._empty_until.get(name, 0.0), now - self._burst / self._rate)
        if (short := start + 1 / self._rate - now) > 1e-9:
            return short
        if len(self._empty_until) >= _MOST_NAMES:
            self._forget(now)
        self._empty_until[name] = start + 1 / self._rate
        return 0.0

    def _forget(self, now: float) -> None:
        full = now - self._burst / self._rate
        kept = {name: start for name, start in self._empty_until.items() if start > full}
        self._empty_until = kept if len(kept) < _MOST_NAMES else {}
