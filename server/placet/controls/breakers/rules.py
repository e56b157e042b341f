"""The circuit breakers of a tenant as rows: what they say of an action, what lets a probe through, what outcomes do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

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
"""The breakers that watch an action; None for one that no outcome has touched yet."""
_WORST_FIRST: Final = (Phase.OPEN, Phase.HALF_OPEN, Phase.CLOSED)
_SAYS: Final = {OutcomeStatus.SUCCEEDED: True, OutcomeStatus.FAILED: False, OutcomeStatus.UNKNOWN: False}
"""Whether a status tells that things work. A call that was not executed tells nothing."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A breaker that lets one call through: its row as it was read."""

    key: RowKey
    row: Row | None


@dataclass(frozen=True, slots=True)
class BreakerCheck:
    """What the breakers say of an action: a finding that stops it, or those that it must claim as their probe."""

    finding: Finding | None = None
    probes: tuple[Probe, ...] = ()


CLEAR: Final = BreakerCheck()


def breaker_keys(spec: BreakerSpec | None, proposal: Proposal) -> tuple[RowKey, ...]:
    """Where the breakers stand that watch the action; none when the tenant has none."""
    if spec is None:
        return ()
    return keys_of(spec, proposal.identity.tenant, proposal.action.tool, proposal.run.run_id)


def keys_of(spec: BreakerSpec, tenant: str, tool: str, run_id: str) -> tuple[RowKey, ...]:
    """Where the tenant's breakers stand that watch a call."""
    return tuple(RowKey(StateTable.BREAKERS, tenant, each) for each in breaker_ids(spec, tool, run_id))


def check_breakers(
    spec: BreakerSpec | None, rows: Rows, *, dry_run: bool, now_us: int, repeats: str = ""
) -> BreakerCheck:
    """Whether the breakers let the action pass. A dry run passes those whose effect is draft_only, and probes none.

    `repeats` is the decision that would be given again, "" for a new one: it passes those whose probe it is, and
    becomes the probe of no other.
    """
    if spec is None or (dry_run and spec.effect is BreakerEffect.DRAFT_ONLY):
        return CLEAR
    states = {key: _state(row) for key, row in rows.items()}
    said = {key: admit(each, now_us, spec) for key, each in states.items() if not (repeats and each.probe == repeats)}
    stops = {Admission.REFUSED, Admission.PROBE} if repeats else {Admission.REFUSED}
    refused = sorted(key.id for key, admission in said.items() if admission in stops)
    if refused:
        return BreakerCheck(finding=_finding(refused, spec))
    return BreakerCheck(probes=tuple(Probe(key, rows[key]) for key, each in said.items() if each is Admission.PROBE))


def claims(probes: tuple[Probe, ...], decision_id: str, now_us: int) -> tuple[PutIfVersion, ...]:
    """The changes with which a decision that allows becomes the probe. Of two at once, one has a Conflict."""
    return tuple(
        PutIfVersion(_row(each.key, each.row, probing(_state(each.row), decision_id, now_us), now_us))
        for each in probes
    )


def fed(
    spec: BreakerSpec, rows: Rows, outcome: Outcome, decision_id: str, now_us: int, *, spare: bool
) -> list[PutIfVersion]:
    """What the outcome changes in the breakers that watch the call.

    `spare` leaves out a success that a closed breaker would only count: that makes it no less careful, and others who
    count at the same time are not in each other's way.
    """
    ok = _SAYS.get(outcome.status)
    if ok is None:
        return []
    changes = []
    for key, row in rows.items():
        before = _state(row)
        after = on_outcome(before, ok=ok, now_us=now_us, spec=spec, decision_id=decision_id)
        only_counted = ok and before.phase is Phase.CLOSED
        if after != before and not (spare and only_counted):
            changes.append(PutIfVersion(_row(key, row, after, now_us)))
    return changes


def breaker_facts(rows: Rows) -> dict[str, Any]:
    """What policy sees at ``input.facts.tool`` beside the class: null for what nothing watches.

    `breaker` is the worst phase of those that watch the action, `error_rate` the tool's own since its window began.
    """
    states = {key.id: _state(row) for key, row in rows.items()}
    phases = {state.phase for state in states.values()}
    own = next((state for name, state in states.items() if name.startswith(f"{BreakerScope.TOOL}:")), None)
    return {
        "breaker": next((phase.value for phase in _WORST_FIRST if phase in phases), None),
        "error_rate": None if own is None else own.failures * RATIO_PARTS // max(1, own.calls) / RATIO_PARTS,
    }


def _finding(refused: list[str], spec: BreakerSpec) -> Finding:
    rule_id = rule_ids.LIMIT_BREAKER_OPEN
    details = {"breakers": refused, "effect": spec.effect.value}
    return Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], details)


def _state(row: Row | None) -> Breaker:
    return CLOSED if row is None else Breaker.from_json(orjson.loads(row.body))


def _row(key: RowKey, before: Row | None, state: Breaker, now_us: int) -> Row:
    read = before or Row(key, "", now_us, b"")
    return replace(read, status=state.phase.value, body=orjson.dumps(state.to_json()))
