"""Step 2 of a decision: what Placet knows, gathered for a whole batch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from placet.core.approval import approval_key, from_row, refusal
from placet.core.autonomy import resolve
from placet.core.breakers import admitted, breaker_facts, breaker_keys
from placet.core.budgets import facts
from placet.core.changes import NOTHING_KNOWN, Wanted
from placet.core.charging import carried_over, charges
from placet.core.decision_state import is_revoked
from placet.core.errors import PlacetError
from placet.core.judge import Standing
from placet.core.model import ToolClass
from placet.core.policy_input import bare_facts, policy_input, rfc3339
from placet.core.reservation import from_row as reservation_of
from placet.core.reservation import reservation_key, without
from placet.core.run_limits import run_charges, run_facts
from placet.core.standing_votes import document
from placet.core.steps import mapped
from placet.service.control_state import NO_CONTROLS
from placet.service.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.approval import Approval
    from placet.core.breakers import Probe
    from placet.core.budgets import Charge, ChargeFault
    from placet.core.changes import Known, RowKey
    from placet.core.ports import Clock, Ledger, LoadedPolicy, PolicySource
    from placet.service.attempts import Attempt
    from placet.service.control_state import Controls, ControlState

NO_MAX_AGE: Final = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt with what Placet knows about it.

    `standing` is None for a tenant without a file, `refused` why the approval that it presents cannot be used, `probes`
    the circuit breakers whose probe it becomes when it is allowed, `seen` what policy sees. `revoked`: the permit of
    the allow that it repeats is void. `fault` is what went wrong while this was gathered, None when nothing did.
    """

    attempt: Attempt
    agent_policy: AgentPolicy | None
    controls: Controls
    standing: Standing | None
    refused: tuple[str, str] | None
    probes: tuple[Probe, ...]
    now_us: int
    seen: bytes
    revoked: bool = False
    fault: Exception | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What Placet knows when it decides a batch.

    `revision` is the policy's as the batch begins: what an external engine serves may change under way.
    """

    policy: LoadedPolicy | None
    revision: str
    stale: bool
    cases: Sequence[Case]
    skewed: bool = False


@dataclass(frozen=True, slots=True)
class _Counted:
    """What an attempt counts against, and the circuit breakers that watch it."""

    agent_policy: AgentPolicy | None
    charges: tuple[Charge, ...]
    run_charges: tuple[Charge, ...]
    faults: tuple[ChargeFault, ...]
    breakers: tuple[RowKey, ...]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the ledger holds: state, and which of the decisions that would be repeated were revoked."""

    known: Known
    revoked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Gathers facts. `max_policy_age_seconds` 0 means no limit; `skewed` tells a clock that cannot be decided by."""

    policies: PolicySource
    ledger: Ledger
    controls: ControlState
    clock: Clock
    max_policy_age_seconds: float
    skewed: Callable[[], bool] = lambda: False

    async def gather(self, attempts: Sequence[Attempt]) -> Facts:
        """One policy, one `now` and one look at the ledger for all of them. LedgerUnavailableError.

        When that fails for another reason they are looked at one by one, so that what one meets denies none of its
        neighbours.
        """
        policy = self.policies.current()
        stale = (
            policy is not None
            and self.max_policy_age_seconds != NO_MAX_AGE
            and self.clock.monotonic() - policy.confirmed_at > self.max_policy_age_seconds
        )
        agent_policies = policy.agent_policies if policy else {}
        now_us = self.clock.wall_us()
        try:
            cases = await self._cases(attempts, agent_policies, now_us)
        except PlacetError:
            raise
        except Exception:  # noqa: BLE001 - whoever meets it again is denied
            cases = [await self._case_or_fault(each, agent_policies, now_us) for each in attempts]
        return Facts(policy, policy.revision if policy else "", stale, cases, self.skewed())

    async def _cases(
        self, attempts: Sequence[Attempt], agent_policies: Mapping[str, AgentPolicy], now_us: int
    ) -> Sequence[Case]:
        counted = await in_slices(
            mapped(lambda each: _count(each, agent_policies, now_us), attempts, lambda each: each.proposal.is_large)
        )
        controls = await self.controls.of({attempt.tenant for attempt in attempts})
        looked = _Looked(await self._known(attempts, counted), await self._revoked(attempts))
        pairs = list(zip(attempts, counted, strict=True))
        return await in_slices(
            mapped(
                lambda pair: _case(*pair, controls[pair[0].tenant], looked, now_us),
                pairs,
                lambda pair: pair[0].proposal.is_large,
            )
        )

    async def _case_or_fault(self, attempt: Attempt, agent_policies: Mapping[str, AgentPolicy], now_us: int) -> Case:
        """The case, or one that says why there is none: kill switches are known all the same, where they can be read.

        What was asked is kept as for a tenant without a file: all of it is screened.
        """
        controls = NO_CONTROLS
        try:
            controls = (await self.controls.of({attempt.tenant}))[attempt.tenant]
            [case] = await self._cases([attempt], agent_policies, now_us)
        except PlacetError:
            raise
        except Exception as fault:  # noqa: BLE001 - a recorded deny, whatever it is
            seen = policy_input(attempt.proposal.document, bare_facts(ToolClass.UNKNOWN), rfc3339(now_us))
            agent_policy = agent_policies.get(attempt.tenant)
            return Case(attempt, agent_policy, controls, None, None, (), now_us, seen, fault=fault)
        return case

    async def _known(self, attempts: Sequence[Attempt], counted: Sequence[_Counted]) -> Known:
        rows = []
        counters = []
        for attempt, each in zip(attempts, counted, strict=True):
            if attempt.approval_id:
                rows.append(approval_key(attempt.tenant, attempt.approval_id))
            if attempt.repeats is not None:
                rows.append(reservation_key(attempt.tenant, attempt.repeats.decision_id))
            rows += each.breakers
            counters += [charge.counter for charge in (*each.charges, *each.run_charges)]
            counters += [charge.earlier for charge in each.charges if charge.earlier is not None]
        if not rows and not counters:
            return NOTHING_KNOWN
        return await self.ledger.load(Wanted(rows, counters))

    async def _revoked(self, attempts: Sequence[Attempt]) -> frozenset[str]:
        """Those of the decisions that would be repeated whose permits are void."""
        repeated = [(each.tenant, each.repeats.decision_id) for each in attempts if each.repeats is not None]
        histories = await asyncio.gather(*(self.ledger.history(*each) for each in repeated))
        return frozenset(
            decision_id for (_, decision_id), events in zip(repeated, histories, strict=True) if is_revoked(events)
        )


def _count(attempt: Attempt, agent_policies: Mapping[str, AgentPolicy], now_us: int) -> _Counted:
    proposal = attempt.proposal
    agent_policy = agent_policies.get(attempt.tenant)
    breakers = breaker_keys(agent_policy, proposal) if agent_policy is not None else ()
    if agent_policy is None or agent_policy.tool_class(proposal.action.tool) is ToolClass.UNKNOWN:
        return _Counted(agent_policy, (), (), (), breakers)
    taken, faults = charges(agent_policy, proposal, now_us)
    of_run, run_faults = run_charges(agent_policy.run_limits(proposal.run.workflow), proposal)
    return _Counted(agent_policy, taken, of_run, (*faults, *run_faults), breakers)


def _case(attempt: Attempt, counted: _Counted, controls: Controls, looked: _Looked, now_us: int) -> Case:
    proposal, agent_policy, known = attempt.proposal, counted.agent_policy, looked.known
    repeats = attempt.repeats.decision_id if attempt.repeats is not None else ""
    revoked = repeats in looked.revoked
    if agent_policy is None:
        seen = policy_input(proposal.document, bare_facts(ToolClass.UNKNOWN), rfc3339(now_us))
        return Case(attempt, None, controls, None, None, (), now_us, seen, revoked)
    approval, refused = _presented(attempt, known, now_us)
    breakers = {key: known.rows.get(key) for key in counted.breakers}
    passage = admitted(agent_policy, breakers, dry_run=proposal.action.dry_run, now_us=now_us, repeats=repeats)
    held = known.rows.get(reservation_key(attempt.tenant, repeats)) if repeats else None
    usages = without(known.counters, reservation_of(held) if held is not None else None)
    taken, usages = carried_over((*counted.charges, *counted.run_charges), usages)
    standing = Standing(
        proposal=proposal,
        agent_policy=agent_policy,
        autonomy=resolve(agent_policy.autonomy_levels, controls.overrides, proposal),
        charges=taken,
        faults=counted.faults,
        usages=usages,
        breaker=passage.finding,
        approval=approval,
        now_us=now_us,
        repeats=bool(repeats),
    )
    told = _facts(standing, counted, breaker_facts(breakers) if breakers else {})
    seen = policy_input(proposal.document, told, rfc3339(now_us))
    return Case(attempt, agent_policy, controls, standing, refused, passage.probes, now_us, seen, revoked)


def _presented(attempt: Attempt, known: Known, now_us: int) -> tuple[Approval | None, tuple[str, str] | None]:
    """The approval that it presents, or why that cannot be used; of an allow that is repeated the one that it used."""
    if not attempt.approval_id:
        return None, None
    row = known.rows.get(approval_key(attempt.tenant, attempt.approval_id))
    approval = from_row(row) if row is not None else None
    if attempt.repeats is not None and approval is not None and approval.used_by == attempt.repeats.decision_id:
        return approval, None
    refused = refusal(approval, attempt.proposal, now_us)
    return (approval, None) if refused is None else (None, refused)


def _facts(standing: Standing, counted: _Counted, breakers: Mapping[str, Any]) -> dict[str, Any]:
    """What policy sees at ``input.facts``."""
    tool_class = standing.agent_policy.tool_class(standing.proposal.action.tool)
    told = bare_facts(tool_class, standing.autonomy.level)
    told["tool"].update(breakers)
    if counted.charges:
        told["budgets"] = facts(counted.charges, standing.usages)
    if counted.run_charges:
        told["run"] = run_facts(counted.run_charges, standing.usages)
    if standing.approval is not None:
        groups = standing.agent_policy.approver_groups
        told["approval"] = document(standing.approval, groups)
    return told
