"""Applies a tenant's circuit breakers, which are stored as rows.

Decisions call `check_breakers` and `claim_probes`; reports of outcomes call `record_outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import structs

from placet.actions.outcome import OutcomeStatus
from placet.controls.breakers.model import (
    CLOSED,
    Admission,
    Breaker,
    BreakerEffect,
    BreakerScope,
    Phase,
    admit,
    breaker_ids,
    on_outcome,
    probing,
)
from placet.kernel import rule_ids
from placet.kernel.model import Effect, Finding
from placet.kernel.state import RATIO_PARTS, PutIfVersion, Row, RowKey, StateTable

if TYPE_CHECKING:
    from placet.actions.outcome import Outcome
    from placet.controls.breakers.model import BreakerSpec
    from placet.kernel.model import Proposal

Rows = Mapping[RowKey, Row | None]
"""The rows of the breakers that watch an action; None for a breaker without an outcome so far."""
_WORST_FIRST: Final = (Phase.OPEN, Phase.HALF_OPEN, Phase.CLOSED)
_IS_SUCCESS: Final = {OutcomeStatus.SUCCEEDED: True, OutcomeStatus.FAILED: False, OutcomeStatus.UNKNOWN: False}
"""Whether a status counts as a success. A call that was not executed does not count."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A breaker that lets one call through, with its row as it was read."""

    key: RowKey
    row: Row | None


@dataclass(frozen=True, slots=True)
class BreakerCheck:
    """The answer of the breakers to an action."""

    finding: Finding | None = None
    """The deny when a breaker stops the action."""
    probes: tuple[Probe, ...] = ()
    """The breakers for which the action becomes the probe, if it is allowed."""


CLEAR: Final = BreakerCheck()
"""The action passes and is no probe."""


def breaker_keys(spec: BreakerSpec | None, proposal: Proposal) -> tuple[RowKey, ...]:
    """Return the keys of the breakers that watch the action; none when `spec` is None."""
    if spec is None:
        return ()
    return keys_of(spec, proposal.identity.tenant, proposal.action.tool, proposal.run.run_id)


def keys_of(spec: BreakerSpec, tenant: str, tool: str, run_id: str) -> tuple[RowKey, ...]:
    """Return the keys of the tenant's breakers that watch a call."""
    return tuple(RowKey(StateTable.BREAKERS, tenant, breaker_id) for breaker_id in breaker_ids(spec, tool, run_id))


def check_breakers(
    spec: BreakerSpec | None, rows: Rows, *, dry_run: bool, now_us: int, repeats: str = ""
) -> BreakerCheck:
    """Return whether the breakers let the action pass.

    With the effect draft_only a dry run passes all breakers and is no probe. `repeats` is the decision_id of a stored
    allow that is evaluated again, "" for a new action: it passes the breakers whose probe it is, and becomes no other
    breaker's probe.
    """
    if spec is None or (dry_run and spec.effect is BreakerEffect.DRAFT_ONLY):
        return CLEAR
    states = {key: _state(row) for key, row in rows.items()}
    admissions = {
        key: admit(state, now_us, spec) for key, state in states.items() if not (repeats and state.probe == repeats)
    }
    stops = {Admission.REFUSED, Admission.PROBE} if repeats else {Admission.REFUSED}
    stopping = sorted(key.id for key, admission in admissions.items() if admission in stops)
    if stopping:
        return BreakerCheck(finding=_finding(stopping, spec))
    probes = (Probe(key, rows[key]) for key, admission in admissions.items() if admission is Admission.PROBE)
    return BreakerCheck(probes=tuple(probes))


def claim_probes(probes: tuple[Probe, ...], decision_id: str, now_us: int) -> tuple[PutIfVersion, ...]:
    """Return the changes by which an allow becomes the probe. Of two allows at the same time, one conflicts."""
    return tuple(
        PutIfVersion(_row(probe.key, probe.row, probing(_state(probe.row), decision_id, now_us), now_us))
        for probe in probes
    )


def record_outcome(
    spec: BreakerSpec,
    rows: Rows,
    outcome: Outcome,
    decision_id: str,
    now_us: int,
    *,
    skip_closed_successes: bool,
    not_executed_fails: bool = False,
) -> list[PutIfVersion]:
    """Return the changes by which an outcome updates the breakers that watch the call.

    `skip_closed_successes` leaves out successes that a closed breaker would only count. That does not make the
    breaker less strict, and reports at the same time do not conflict. `not_executed_fails` counts a call that was not
    executed as a failure of its run, so that a run cannot go on forever by such reports.
    """
    changes = []
    for key, row in rows.items():
        ok = _IS_SUCCESS.get(outcome.status)
        if ok is None and not (not_executed_fails and key.id.startswith(f"{BreakerScope.RUN}:")):
            continue
        ok = bool(ok)
        before = _state(row)
        after = on_outcome(before, ok=ok, now_us=now_us, spec=spec, decision_id=decision_id)
        is_closed_success = ok and before.phase is Phase.CLOSED
        if after != before and not (skip_closed_successes and is_closed_success):
            changes.append(PutIfVersion(_row(key, row, after, now_us)))
    return changes


def breaker_facts(rows: Rows) -> dict[str, Any]:
    """Return the values that policy sees in ``input.facts.tool`` beside the class.

    `breaker` is the worst phase of the breakers that watch the action. `error_rate` is that of the tool's own breaker
    in its window. Both are null without a breaker.
    """
    states = {key.id: _state(row) for key, row in rows.items()}
    phases = {state.phase for state in states.values()}
    own = next((state for name, state in states.items() if name.startswith(f"{BreakerScope.TOOL}:")), None)
    return {
        "breaker": next((phase.value for phase in _WORST_FIRST if phase in phases), None),
        "error_rate": None if own is None else own.failures * RATIO_PARTS // max(1, own.calls) / RATIO_PARTS,
    }


def _finding(stopping: list[str], spec: BreakerSpec) -> Finding:
    rule_id = rule_ids.LIMIT_BREAKER_OPEN
    details = {"breakers": stopping, "effect": spec.effect.value}
    return Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], details)


def _state(row: Row | None) -> Breaker:
    return CLOSED if row is None else Breaker.from_json(orjson.loads(row.body))


def _row(key: RowKey, before: Row | None, state: Breaker, now_us: int) -> Row:
    row = before or Row(key, "", now_us, b"")
    return structs.replace(row, status=state.phase.value, body=orjson.dumps(state.to_json()))
