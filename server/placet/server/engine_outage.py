"""Logs an outage of OPA in two lines, however many queries fail in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel import rule_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.stdlib import BoundLogger

NO_ANSWER: Final = frozenset({rule_ids.ENGINE_UNAVAILABLE, rule_ids.ENGINE_TIMEOUT})
"""Failures to which the content of a query contributes nothing: while OPA is down, every query fails so."""
QUIET_SECONDS: Final = 5.0
"""An outage is over when OPA is ready and no query failed for this long."""


class EngineOutage:
    """The failed queries since OPA answered last."""

    def __init__(self, log: BoundLogger, monotonic: Callable[[], float]) -> None:
        self.log = log
        self._monotonic = monotonic
        self._logged: set[str] = set()
        self._failures = 0
        self._began = 0.0
        self._newest = 0.0

    def failed(self, rule_id: str, cause: str) -> None:
        """Log a failed query, unless one of this outage that failed in the same way was logged."""
        if rule_id in NO_ANSWER:
            self._newest = self._monotonic()
            self._began = self._began if self._failures else self._newest
            self._failures += 1
            if rule_id in self._logged:
                return
            self._logged.add(rule_id)
        self.log.warning("policy engine error", rule_id=rule_id, cause=cause)

    def look(self, *, ready: bool) -> None:
        """Log the end of the outage if it is over. `ready` is whether OPA answers its canary. Call it regularly."""
        if self._failures and ready and self._monotonic() - self._newest >= QUIET_SECONDS:
            seconds = round(self._newest - self._began, 1)
            self.log.info("policy engine answers again", failures=self._failures, seconds=seconds)
            self._logged.clear()
            self._failures = 0
