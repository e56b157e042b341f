"""Prometheus metrics. Served on `metrics_listen` when that is set.

When a server has several processes, each writes its metrics to files in a common folder, and one process serves the
merged values: counters and histograms are added, and each gauge says how it is merged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from placet.kernel.errors import ConfigurationError
from placet.telemetry.decision_counter import DecisionCounter
from placet.telemetry.latency_histogram import LatencyHistogram
from placet.telemetry.metrics_folder import FOLDER_VARIABLE
from placet.telemetry.metrics_server import serve_metrics

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path
    from wsgiref.simple_server import WSGIServer

    Merge = Literal["livemin", "livemax", "livesum", "livemostrecent"]

LATENCY_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

LAG_BUCKETS_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """All metrics of one process, in a registry of their own.

    `folder` is the common folder of several processes; FOLDER_VARIABLE must have named it before the first import.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and os.environ.get(FOLDER_VARIABLE) != str(folder):
            raise AssertionError(f"{FOLDER_VARIABLE} is set before prometheus_client is imported")
        self._folder = folder
        self._followed: list[tuple[Gauge, Callable[[], float]]] = []
        self.registry = CollectorRegistry()
        self._count_calls()
        self._watch_policy()
        self._watch_machine()

    def _count_calls(self) -> None:
        decisions = "Decisions made, by effect and rule_id; `budgets.*` is every budget that a tenant's file names"
        self.decisions = self._counter("placet_decisions", decisions, "effect", "rule_id")
        self.decision_counter = DecisionCounter(self.decisions)
        self.latency = self._histogram(
            "placet_decision_seconds",
            "Time from the arrival of a request to its durable decision",
            LATENCY_BUCKETS_SECONDS,
        )
        self.outcomes = self._counter("placet_outcomes", "Outcomes reported, by status", "status")
        self.outcomes_held = self._counter(
            "placet_outcomes_held", "Outcomes far above their reservation, of which a part is held for an operator"
        )
        self.give_backs_refused = self._counter(
            "placet_give_backs_refused", "Outcomes that left budget unused of which a bound kept a part as used"
        )
        self.refused = self._counter("placet_requests_refused", "Invalid requests")
        self.access_refused = self._counter(
            "placet_access_refused", "Calls refused to their callers, by reason", "reason"
        )
        self.shed = self._counter(
            "placet_requests_shed", "Requests rejected under load before any work, by reason", "reason"
        )
        self.issuer_keys_unreadable = self._gauge(
            "placet_issuer_keys_unreadable", "1 while the keys of an issuer of JWTs cannot be read", "livemax", "issuer"
        )
        self.open_approvals = self._gauge(
            "placet_open_approvals", "Approvals that are pending or granted and not yet used", "livemax"
        )
        self.webhooks = self._counter("placet_webhooks", "Webhook delivery attempts, by result", "result")

    def _watch_policy(self) -> None:
        self.engine_failures = self._counter(
            "placet_engine_failures", "Failed queries to OPA, by the rule_id of the resulting deny", "rule_id"
        )
        self.slow_packs = self._counter(
            "placet_policy_slow", "Slow inputs that were examined, by the pack that took most of the time", "pack"
        )
        self.engine_restarts = self._counter("placet_engine_restarts", "Restarts of the managed OPA")
        self.reloads = self._counter("placet_policy_reloads", "Policy reloads, by result", "result")
        self.cache_refused = self._counter(
            "placet_policy_cache_refused", "Cached bundles whose content does not match their name"
        )
        self.policy_refused = self._gauge(
            "placet_policy_refused", "1 while a newer policy is rejected or cannot be read", "livemax"
        )
        self.policy_held = self._gauge("placet_policy_held", "1 while a newer policy waits for confirmation", "livemax")
        self.policy_stale = self._gauge(
            "placet_policy_stale", "1 while every call is denied with pdp.policy_stale", "livemax"
        )
        self.policy_stale_in_seconds = self._gauge(
            "placet_policy_stale_in_seconds",
            "Seconds until pdp.policy_stale while the policy cannot be read; otherwise +Inf",
            "livemin",
        )

    def _watch_machine(self) -> None:
        self.ready = self._gauge("placet_ready", "1 when decisions can be made", "livemin")
        self.workers = self._gauge(
            "placet_workers", "Worker processes that accept calls; 0 when the server has no workers", "livemax"
        )
        self.worker_restarts = self._counter("placet_worker_restarts", "Restarts of worker processes that ended")
        self.faults = self._counter("placet_faults", "Internal errors of Placet")
        self.clock_behind_seconds = self._gauge(
            "placet_clock_behind_seconds",
            "Seconds by which the clock is behind the newest record; 0 when it is not",
            "livemax",
        )
        self.clock_ahead_seconds = self._gauge(
            "placet_clock_ahead_of_database_seconds",
            "Seconds by which the clock is ahead of the PostgreSQL server's; negative when it is behind",
            "livemostrecent",
        )
        self.certificate_expires = self._gauge(
            "placet_certificate_expires_timestamp_seconds",
            "When the listeners' certificate expires, in seconds since 1970; 0 without TLS",
            "livemin",
        )
        self.sqlite_wal_bytes = self._gauge(
            "placet_sqlite_wal_bytes", "Bytes in SQLite's write-ahead log; 0 with PostgreSQL", "livemostrecent"
        )
        self.data_dir_free_bytes = self._gauge(
            "placet_data_dir_free_bytes", "Free bytes of the data directory's file system", "livemostrecent"
        )
        self.loop_lag = self._histogram(
            "placet_event_loop_lag_seconds",
            "Delay of a timer of the event loop: how long other work blocked it",
            LAG_BUCKETS_SECONDS,
        )

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self.registry)

    def _gauge(self, name: str, description: str, merge: Merge, *labels: str) -> Gauge:
        return Gauge(name, description, labels, registry=self.registry, multiprocess_mode=merge)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...]) -> LatencyHistogram:
        return LatencyHistogram(name, description, buckets=buckets, registry=self.registry)

    def watch_depth(self, depth: Callable[[], float], slow_depth: Callable[[], float]) -> None:
        """Add gauges of the depths of the queue and of the slow lane's queue."""
        self.follow(self._gauge("placet_queue_depth", "Actions that wait for a decision", "livesum"), depth)
        slow = self._gauge("placet_slow_lane_depth", "Actions that wait for the slow lane", "livesum")
        self.follow(slow, slow_depth)

    def watch_watchers(self, watchers: Callable[[], float]) -> None:
        """Add a gauge of open watch streams."""
        self.follow(self._gauge("placet_watchers", "Open watch streams", "livesum"), watchers)

    def follow(self, gauge: Gauge, value: Callable[[], float]) -> None:
        """Make the gauge show the value: at each read, or after each `sample` when several processes share it."""
        if self._folder is None:
            gauge.set_function(value)
        else:
            self._followed.append((gauge, value))

    def sample(self) -> None:
        """Write the gauges that follow values to the common folder, if there is one."""
        for gauge, value in self._followed:
            gauge.set(value())

    def forget_process(self, pid: int) -> None:
        """Leave the gauges of a process that ended out of the merged values. Its counters stay."""
        if self._folder is not None:
            mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call] # published without types

    def serve(self, listen: str, tls: Callable[[], ssl.SSLContext] | None = None) -> WSGIServer:
        """Serve ``/metrics`` on ``host:port``. Raises ConfigurationError when the address is not available.

        `tls` returns the context for the next connection; None for HTTP.
        """
        host, _, port = listen.rpartition(":")
        registry = self.registry
        if self._folder is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call] # likewise
        try:
            return serve_metrics(host.strip("[]"), int(port), registry, tls)
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve metrics on {listen}: {error}; choose another address with --metrics-listen"
            ) from error
