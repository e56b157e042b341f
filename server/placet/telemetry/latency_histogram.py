"""A histogram that counts many values at once."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence


class LatencyHistogram(Histogram):
    """A histogram without labels. Each of its buckets has a lock, which a batch takes once."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Count the values, in seconds."""
        self._sum.inc(sum(values))
        for bucket, count in Counter([bisect_left(self._upper_bounds, value) for value in values]).items():
            self._buckets[bucket].inc(count)
