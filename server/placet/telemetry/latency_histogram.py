"""A histogram that counts equal values at once."""

from __future__ import annotations

from bisect import bisect_left

from prometheus_client import Histogram


class LatencyHistogram(Histogram):
    """A histogram without labels. All actions of a call have the same latency."""

    def observe_many(self, seconds: float, count: int) -> None:
        """Count a value `count` times."""
        self._sum.inc(seconds * count)
        self._buckets[bisect_left(self._upper_bounds, seconds)].inc(count)
