"""How long a batch waits for OPA before its inputs are asked alone."""

from __future__ import annotations

from typing import Final

PATIENCE_SHARE: Final = 0.2
"""Share of the query time limit. At 250 ms that is 50 ms, and a batch of the shipped policies takes up to 20 ms."""
PATIENCE_SHARE_MAX: Final = 0.5
"""Largest share of the query time limit. The rest is left to learn whether OPA is stuck; without it, a query that takes
too long would deny all its inputs, where only one of them may be slow."""
USUAL_TIMES: Final = 8
"""Patience in multiples of the usual time of a query: on a busy machine all queries are slow, and asking them again
would make it busier."""
_WEIGHT: Final = 1 / 16
"""Weight of the newest query in the usual time."""


class Patience:
    """The time limit of a query of several inputs: `least_seconds`, or more where queries usually take long.

    It is at most `most_seconds`. Inputs are asked alone after it only where it is less than the time limit of a query.
    """

    def __init__(self, least_seconds: float, most_seconds: float) -> None:
        self._least = least_seconds
        self._most = most_seconds
        self._usual = 0.0

    @classmethod
    def within(cls, timeout_seconds: float) -> Patience:
        """Return the patience of decisions whose queries have the time limit `timeout_seconds`."""
        return cls(PATIENCE_SHARE * timeout_seconds, PATIENCE_SHARE_MAX * timeout_seconds)

    @property
    def seconds(self) -> float:
        """How long the next query may take."""
        return min(self._most, max(self._least, USUAL_TIMES * self._usual))

    def learn(self, seconds: float) -> None:
        """Take the time of an answered query into account."""
        self._usual += _WEIGHT * (seconds - self._usual)
