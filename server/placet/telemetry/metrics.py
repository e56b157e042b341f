"""What is counted, in Prometheus' terms. Served on `metrics_listen` when that is set."""

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
    """One registry a server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "placet_decisions", "Decisions made, by effect and rule_id", ["effect", "rule_id"], registry=self.registry
        )
        self.latency = Histogram(
            "placet_decision_seconds",
            "From arrival to the durable decision",
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.outcomes = Counter("placet_outcomes", "Outcomes reported, by status", ["status"], registry=self.registry)
        self.outcomes_held = Counter(
            "placet_outcomes_held",
            "Outcomes of which a part waits for a person, because it is far above what was reserved",
            registry=self.registry,
        )
        self.refused = Counter("placet_requests_refused", "Requests that broke the contract", registry=self.registry)
        self.shed = Counter(
            "placet_requests_shed",
            "Requests turned away under load before anything was done, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.engine_failures = Counter(
            "placet_engine_failures", "Queries that OPA did not answer rightly", ["rule_id"], registry=self.registry
        )
        self.engine_restarts = Counter("placet_engine_restarts", "Times that OPA was restarted", registry=self.registry)
        self.reloads = Counter("placet_policy_reloads", "Policy reloads", ["result"], registry=self.registry)
        self.cache_refused = Counter(
            "placet_policy_cache_refused",
            "Cached bundles that were not what their name says",
            registry=self.registry,
        )
        self.policy_refused = Gauge(
            "placet_policy_refused", "1 while a newer policy is refused, or cannot be seen", registry=self.registry
        )
        self.policy_held = Gauge(
            "placet_policy_held", "1 while a newer policy waits to be confirmed", registry=self.registry
        )
        self.clock_behind_seconds = Gauge(
            "placet_clock_behind_seconds",
            "Seconds that the clock is behind the newest record; 0 when it is not",
            registry=self.registry,
        )
        self.clock_ahead_seconds = Gauge(
            "placet_clock_ahead_of_database_seconds",
            "Seconds that the machine's clock is ahead of the PostgreSQL server's, negative when it is behind",
            registry=self.registry,
        )
        self.policy_stale = Gauge(
            "placet_policy_stale", "1 while every call is denied with pdp.policy_stale", registry=self.registry
        )
        self.policy_stale_in_seconds = Gauge(
            "placet_policy_stale_in_seconds",
            "Seconds until pdp.policy_stale, while the policy cannot be seen; else +Inf",
            registry=self.registry,
        )
        self.sqlite_wal_bytes = Gauge(
            "placet_sqlite_wal_bytes", "Bytes in SQLite's write-ahead log; 0 with PostgreSQL", registry=self.registry
        )
        self.data_dir_free_bytes = Gauge(
            "placet_data_dir_free_bytes", "Bytes left where the data directory is", registry=self.registry
        )
        self.ready = Gauge("placet_ready", "1 when decisions can be made", registry=self.registry)
        self.webhooks = Counter(
            "placet_webhooks", "Tries to deliver a webhook, by result", ["result"], registry=self.registry
        )
        self.faults = Counter("placet_faults", "Faults of Placet's own", registry=self.registry)
        self.open_approvals = Gauge(
            "placet_open_approvals", "Approvals that wait for people or for their use", registry=self.registry
        )

        self.loop_lag = Histogram(
            "placet_event_loop_lag_seconds",
            "How much later than asked a timer of the event loop ran: for how long something held it",
            buckets=LAG_BUCKETS_SECONDS,
            registry=self.registry,
        )

    def watch_depth(self, depth: Callable[[], float]) -> None:
        """Show how many actions wait."""
        Gauge("placet_queue_depth", "Actions that wait to be decided", registry=self.registry).set_function(depth)

    def watch_watchers(self, watchers: Callable[[], float]) -> None:
        """Show how many streams tell what happens."""
        Gauge("placet_watchers", "Watch streams that are open", registry=self.registry).set_function(watchers)

    def serve(self, listen: str) -> tuple[WSGIServer, Thread]:
        """Serve ``/metrics`` on ``host:port``; ConfigurationError when the address cannot be had."""
        host, _, port = listen.rpartition(":")
        try:
            return start_http_server(int(port), host, self.registry)
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve metrics on {listen}: {error}; choose another with --metrics-listen"
            ) from error
