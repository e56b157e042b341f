"""Prometheus metrics. Served on `metrics_listen` when that is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from placet.kernel.errors import ConfigurationError

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
        self.decisions = Counter(
            "placet_decisions", "Decisions made, by effect and rule_id", ["effect", "rule_id"], registry=self.registry
        )
        self.latency = Histogram(
            "placet_decision_seconds",
            "Time from the arrival of a request to its durable decision",
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.outcomes = Counter("placet_outcomes", "Outcomes reported, by status", ["status"], registry=self.registry)
        self.outcomes_held = Counter(
            "placet_outcomes_held",
            "Outcomes far above their reservation, of which a part is held for an operator",
            registry=self.registry,
        )
        self.refused = Counter("placet_requests_refused", "Invalid requests", registry=self.registry)
        self.shed = Counter(
            "placet_requests_shed",
            "Requests rejected under load before any work, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.engine_failures = Counter(
            "placet_engine_failures",
            "Failed queries to OPA, by the rule_id of the resulting deny",
            ["rule_id"],
            registry=self.registry,
        )
        self.engine_restarts = Counter("placet_engine_restarts", "Restarts of the managed OPA", registry=self.registry)
        self.reloads = Counter("placet_policy_reloads", "Policy reloads, by result", ["result"], registry=self.registry)
        self.cache_refused = Counter(
            "placet_policy_cache_refused",
            "Cached bundles whose content does not match their name",
            registry=self.registry,
        )
        self.policy_refused = Gauge(
            "placet_policy_refused", "1 while a newer policy is rejected or cannot be read", registry=self.registry
        )
        self.policy_held = Gauge(
            "placet_policy_held", "1 while a newer policy waits for confirmation", registry=self.registry
        )
        self.clock_behind_seconds = Gauge(
            "placet_clock_behind_seconds",
            "Seconds by which the clock is behind the newest record; 0 when it is not",
            registry=self.registry,
        )
        self.clock_ahead_seconds = Gauge(
            "placet_clock_ahead_of_database_seconds",
            "Seconds by which the clock is ahead of the PostgreSQL server's; negative when it is behind",
            registry=self.registry,
        )
        self.policy_stale = Gauge(
            "placet_policy_stale", "1 while every call is denied with pdp.policy_stale", registry=self.registry
        )
        self.policy_stale_in_seconds = Gauge(
            "placet_policy_stale_in_seconds",
            "Seconds until pdp.policy_stale while the policy cannot be read; otherwise +Inf",
            registry=self.registry,
        )
        self.sqlite_wal_bytes = Gauge(
            "placet_sqlite_wal_bytes", "Bytes in SQLite's write-ahead log; 0 with PostgreSQL", registry=self.registry
        )
        self.data_dir_free_bytes = Gauge(
            "placet_data_dir_free_bytes", "Free bytes of the data directory's file system", registry=self.registry
        )
        self.ready = Gauge("placet_ready", "1 when decisions can be made", registry=self.registry)
        self.webhooks = Counter(
            "placet_webhooks", "Webhook delivery attempts, by result", ["result"], registry=self.registry
        )
        self.faults = Counter("placet_faults", "Internal errors of Placet", registry=self.registry)
        self.open_approvals = Gauge(
            "placet_open_approvals", "Approvals that are pending or granted and not yet used", registry=self.registry
        )

        self.loop_lag = Histogram(
            "placet_event_loop_lag_seconds",
            "Delay of a timer of the event loop: how long other work blocked it",
            buckets=LAG_BUCKETS_SECONDS,
            registry=self.registry,
        )

    def watch_depth(self, depth: Callable[[], float]) -> None:
        """Add a gauge of the queue depth."""
        Gauge("placet_queue_depth", "Actions that wait for a decision", registry=self.registry).set_function(depth)

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
