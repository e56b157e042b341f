"""A circuit breaker as a value: it opens when calls fail, lets one call through to probe, and closes when that works.

::

    closed --failures in a row, or error rate--> open --after open_seconds, one probe--> half_open
    half_open --the probe succeeded--> closed;  half_open --it failed--> open
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
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Admission(StrEnum):
    """What a call may do: pass, pass as the one that tells whether things work again, or not pass."""

    ALLOWED = "allowed"
    PROBE = "probe"
    REFUSED = "refused"


class BreakerScope(StrEnum):
    """What one breaker watches."""

    RUN = "run"
    TOOL = "tool"
    TENANT = "tenant"


class BreakerEffect(StrEnum):
    """What an open breaker does to a call."""

    DENY = "deny"
    DRAFT_ONLY = "draft_only"


@dataclass(frozen=True, slots=True)
class BreakerSpec:
    """When breakers open and for how long; None for what does not open them. At least one of the two is set.

    The error rate counts from `min_calls` outcomes on, within windows of `window_seconds` that tumble.
    """

    failures_in_a_row: int | None
    error_rate_per_mille: int | None
    min_calls: int
    window_seconds: int
    open_seconds: int
    effect: BreakerEffect
    scopes: tuple[BreakerScope, ...]


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one breaker. `since_us` is when the window began, or when it opened, or when the probe was sent.

    While it is not closed, the counts are those that opened it.
    """

    phase: Phase = Phase.CLOSED
    calls: int = 0
    failures: int = 0
    in_a_row: int = 0
    since_us: int = 0
    probe: str = ""

    def to_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> Breaker:
        """The state that `to_json` wrote."""
        return Breaker(**{**said, "phase": Phase(said["phase"])})


CLOSED: Final = Breaker()


def breaker_ids(spec: BreakerSpec, tool: str, run_id: str) -> tuple[str, ...]:
    """The tenant's breakers that watch a call, by id: ``run:r_1``, ``tool:jira.search``, ``tenant``."""
    names = {
        BreakerScope.RUN: run_id and f"run:{run_id}",
        BreakerScope.TOOL: f"tool:{tool}",
        BreakerScope.TENANT: "tenant",
    }
    return tuple(names[scope] for scope in spec.scopes if names[scope])


def admit(state: Breaker, now_us: int, spec: BreakerSpec) -> Admission:
    """Whether a call passes. A probe whose outcome nobody reported within `open_seconds` gives way to another."""
    if state.phase is Phase.CLOSED:
        return Admission.ALLOWED
    waited = now_us - state.since_us
    if 0 <= waited < spec.open_seconds * _SECOND_US:
        return Admission.REFUSED
    return Admission.PROBE  # the time is over, or the clock was set back: one call is no risk


def probing(state: Breaker, decision_id: str, now_us: int) -> Breaker:
    """The state once the call was sent as the probe: nobody else passes until its outcome is known."""
    return replace(state, phase=Phase.HALF_OPEN, since_us=now_us, probe=decision_id)


def on_outcome(state: Breaker, *, ok: bool, now_us: int, spec: BreakerSpec, decision_id: str) -> Breaker:
    """The state after an outcome. While it is not closed, the probe's alone says something new."""
    if state.phase is Phase.CLOSED:
        return _counted(state, ok=ok, now_us=now_us, spec=spec)
    if state.phase is Phase.OPEN or decision_id != state.probe:
        return state
    return CLOSED if ok else replace(state, phase=Phase.OPEN, since_us=now_us, probe="")


def _counted(state: Breaker, *, ok: bool, now_us: int, spec: BreakerSpec) -> Breaker:
    begins = not 0 <= now_us - state.since_us < spec.window_seconds * _SECOND_US
    calls, failures, since_us = (0, 0, now_us) if begins else (state.calls, state.failures, state.since_us)
    failed = 0 if ok else 1
    after = Breaker(Phase.CLOSED, calls + 1, failures + failed, 0 if ok else state.in_a_row + 1, since_us)
    return replace(after, phase=Phase.OPEN, since_us=now_us) if failed and _trips(after, spec) else after


def _trips(state: Breaker, spec: BreakerSpec) -> bool:
    if spec.failures_in_a_row is not None and state.in_a_row >= spec.failures_in_a_row:
        return True
    if spec.error_rate_per_mille is None or state.calls < spec.min_calls:
        return False
    return state.failures * _PER_MILLE >= state.calls * spec.error_rate_per_mille
