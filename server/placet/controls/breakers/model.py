"""The state machine of a circuit breaker, as pure functions.

::

    closed --failures in a row, or error rate--> open --after open_seconds, one probe--> half_open
    half_open --the probe succeeded--> closed;  half_open --the probe failed--> open
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECOND_US: Final = 1_000_000
_PER_MILLE: Final = 1_000


class Phase(StrEnum):
    """The phase of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Admission(StrEnum):
    """The answer of a breaker to a call: it passes, it passes as the probe, or it does not pass."""

    ALLOWED = "allowed"
    PROBE = "probe"
    REFUSED = "refused"


class BreakerScope(StrEnum):
    """The calls that one breaker watches."""

    RUN = "run"
    TOOL = "tool"
    TENANT = "tenant"


class BreakerEffect(StrEnum):
    """The effect of an open breaker on calls: deny all, or deny all but dry runs."""

    DENY = "deny"
    DRAFT_ONLY = "draft_only"


@dataclass(frozen=True, slots=True)
class BreakerSpec:
    """The settings of a tenant's breakers. At least one of the two conditions to open is set."""

    failures_in_a_row: int | None
    """Opens after so many failures in a row; None for never."""
    error_rate_per_mille: int | None
    """Opens at this error rate of a window with at least `min_calls` outcomes; None for never."""
    min_calls: int
    window_seconds: int
    """The length of the windows of the error rate, which tumble."""
    open_seconds: int
    """How long a breaker stays open before a probe passes, and how long a probe may take."""
    effect: BreakerEffect
    scopes: tuple[BreakerScope, ...]


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one breaker. While it is not closed, the counts are those that opened it."""

    phase: Phase = Phase.CLOSED
    calls: int = 0
    """Outcomes in the window."""
    failures: int = 0
    """Failures in the window."""
    in_a_row: int = 0
    """Failures in a row."""
    since_us: int = 0
    """When the window started (closed), the breaker opened (open), or the probe was sent (half_open)."""
    probe: str = ""
    """The decision_id of the probe (half_open)."""

    def to_json(self) -> dict[str, Any]:
        """Return the state as a JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> Breaker:
        """Return the state of an object that `to_json` made."""
        return Breaker(**{**body, "phase": Phase(body["phase"])})


CLOSED: Final = Breaker()


def breaker_ids(spec: BreakerSpec, tool: str, run_id: str) -> tuple[str, ...]:
    """Return the ids of the tenant's breakers that watch a call: ``run:r_1``, ``tool:jira.search``, ``tenant``."""
    names = {
        BreakerScope.RUN: run_id and f"run:{run_id}",
        BreakerScope.TOOL: f"tool:{tool}",
        BreakerScope.TENANT: "tenant",
    }
    return tuple(names[scope] for scope in spec.scopes if names[scope])


def admit(state: Breaker, now_us: int, spec: BreakerSpec) -> Admission:
    """Return whether a call passes.

    If the outcome of a probe is not reported within `open_seconds`, another call becomes the probe.
    """
    if state.phase is Phase.CLOSED:
        return Admission.ALLOWED
    elapsed_us = now_us - state.since_us
    if 0 <= elapsed_us < spec.open_seconds * _SECOND_US:
        return Admission.REFUSED
    return Admission.PROBE  # the time has passed, or the clock was set back: letting one call through is no risk


def probing(state: Breaker, decision_id: str, now_us: int) -> Breaker:
    """Return the half-open state with this call as the probe. No other call passes until its outcome is known."""
    return replace(state, phase=Phase.HALF_OPEN, since_us=now_us, probe=decision_id)


def on_outcome(state: Breaker, *, ok: bool, now_us: int, spec: BreakerSpec, decision_id: str) -> Breaker:
    """Return the state after an outcome. A breaker that is not closed changes only by the outcome of its probe."""
    if state.phase is Phase.CLOSED:
        return _counted(state, ok=ok, now_us=now_us, spec=spec)
    if state.phase is Phase.OPEN or decision_id != state.probe:
        return state
    return CLOSED if ok else replace(state, phase=Phase.OPEN, since_us=now_us, probe="")


def _counted(state: Breaker, *, ok: bool, now_us: int, spec: BreakerSpec) -> Breaker:
    is_new_window = not 0 <= now_us - state.since_us < spec.window_seconds * _SECOND_US
    calls, failures, since_us = (0, 0, now_us) if is_new_window else (state.calls, state.failures, state.since_us)
    failed = 0 if ok else 1
    after = Breaker(Phase.CLOSED, calls + 1, failures + failed, 0 if ok else state.in_a_row + 1, since_us)
    return replace(after, phase=Phase.OPEN, since_us=now_us) if failed and _trips(after, spec) else after


def _trips(state: Breaker, spec: BreakerSpec) -> bool:
    if spec.failures_in_a_row is not None and state.in_a_row >= spec.failures_in_a_row:
        return True
    if spec.error_rate_per_mille is None or state.calls < spec.min_calls:
        return False
    return state.failures * _PER_MILLE >= state.calls * spec.error_rate_per_mille
