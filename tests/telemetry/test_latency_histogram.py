"""A histogram that counts many values at once has the same samples as one that counts each."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram

from placet.telemetry.latency_histogram import LatencyHistogram
from placet.telemetry.metrics import LATENCY_BUCKETS_SECONDS


@pytest.mark.parametrize("seconds", [0.0, *LATENCY_BUCKETS_SECONDS, 0.0042, 1e9])
def test_samples_equal_those_of_single_observations(seconds: float) -> None:
    together, singly = CollectorRegistry(), CollectorRegistry()
    LatencyHistogram("a", "", buckets=LATENCY_BUCKETS_SECONDS, registry=together).observe_all([seconds, 0.2, seconds])
    each = Histogram("a", "", buckets=LATENCY_BUCKETS_SECONDS, registry=singly)
    for value in (seconds, 0.2, seconds):
        each.observe(value)
    samples = [
        {
            (sample.name, tuple(sample.labels.items())): sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if not sample.name.endswith("_created")
        }
        for registry in (together, singly)
    ]
    assert samples[0] == pytest.approx(samples[1])
    assert len(samples[0]) == len(LATENCY_BUCKETS_SECONDS) + 3
