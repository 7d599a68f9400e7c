"""Limits on how often an actor may ask."""

import time
from collections.abc import Callable

_MOST_NAMES = 10_000  # at once; full buckets are forgotten first


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
        """Seconds until the bucket has a token, 0 if it has one; takes none."""
        start = self._empty_until.get(name)
        return 0.0 if start is None else max(0.0, start + 1 / self._rate - self._clock())

    def take(self, name: str) -> float:
        """Take a token.

        Returns:
            0 where the bucket had one, else the seconds until it has.
        """
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
