"""Prometheus metrics. Served on `metrics_listen` when that is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from placet.kernel.errors import ConfigurationError
from placet.telemetry.decision_counter import DecisionCounter

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

LATENCY_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

LAG_BUCKETS_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
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
        self.refused = self._counter("placet_requests_refused", "Invalid requests")
        self.shed = self._counter(
            "placet_requests_shed", "Requests rejected under load before any work, by reason", "reason"
        )
        self.open_approvals = self._gauge(
            "placet_open_approvals", "Approvals that are pending or granted and not yet used"
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
            "placet_policy_refused", "1 while a newer policy is rejected or cannot be read"
        )
        self.policy_held = self._gauge("placet_policy_held", "1 while a newer policy waits for confirmation")
        self.policy_stale = self._gauge("placet_policy_stale", "1 while every call is denied with pdp.policy_stale")
        self.policy_stale_in_seconds = self._gauge(
            "placet_policy_stale_in_seconds",
            "Seconds until pdp.policy_stale while the policy cannot be read; otherwise +Inf",
        )

    def _watch_machine(self) -> None:
        self.ready = self._gauge("placet_ready", "1 when decisions can be made")
        self.faults = self._counter("placet_faults", "Internal errors of Placet")
        self.clock_behind_seconds = self._gauge(
            "placet_clock_behind_seconds", "Seconds by which the clock is behind the newest record; 0 when it is not"
        )
        self.clock_ahead_seconds = self._gauge(
            "placet_clock_ahead_of_database_seconds",
            "Seconds by which the clock is ahead of the PostgreSQL server's; negative when it is behind",
        )
        self.sqlite_wal_bytes = self._gauge(
            "placet_sqlite_wal_bytes", "Bytes in SQLite's write-ahead log; 0 with PostgreSQL"
        )
        self.data_dir_free_bytes = self._gauge(
            "placet_data_dir_free_bytes", "Free bytes of the data directory's file system"
        )
        self.loop_lag = self._histogram(
            "placet_event_loop_lag_seconds",
            "Delay of a timer of the event loop: how long other work blocked it",
            LAG_BUCKETS_SECONDS,
        )

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self.registry)

    def _gauge(self, name: str, description: str) -> Gauge:
        return Gauge(name, description, registry=self.registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, description, buckets=buckets, registry=self.registry)

    def watch_depth(self, depth: Callable[[], float], slow_depth: Callable[[], float]) -> None:
        """Add gauges of the depths of the queue and of the slow lane's queue."""
        Gauge("placet_queue_depth", "Actions that wait for a decision", registry=self.registry).set_function(depth)
        slow = Gauge("placet_slow_lane_depth", "Actions that wait for the slow lane", registry=self.registry)
        slow.set_function(slow_depth)

    def watch_watchers(self, watchers: Callable[[], float]) -> None:
        """Add a gauge of open watch streams."""
        Gauge("placet_watchers", "Open watch streams", registry=self.registry).set_function(watchers)

    def serve(self, listen: str) -> tuple[WSGIServer, Thread]:
        """Serve ``/metrics`` on ``host:port``. Raises ConfigurationError when the address is not available."""
        host, _, port = listen.rpartition(":")
        try:
            return start_http_server(int(port), host, self.registry)
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve metrics on {listen}: {error}; choose another address with --metrics-listen"
            ) from error
