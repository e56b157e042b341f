"""Step 2 of a decision: gather the inputs of a whole batch with one read of the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from placet.actions.params_validator import params_violations
from placet.approvals.counted_votes import document
from placet.approvals.model import approval_key, from_row, why_unusable
from placet.budgets.charges import carried_over, charges
from placet.budgets.model import facts
from placet.budgets.reservations import from_row as reservation_of
from placet.budgets.reservations import reservation_key, without
from placet.budgets.run_limits import run_charges, run_facts
from placet.controls.autonomy.model import resolve
from placet.controls.breakers.rules import CLEAR, breaker_facts, breaker_keys, check_breakers
from placet.controls.snapshot import NO_CONTROLS
from placet.decision.attempt import attempt_is_large
from placet.decision.context import BatchContext, EvaluationContext
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.clock import rfc3339
from placet.kernel.errors import PlacetError
from placet.kernel.model import ToolClass
from placet.kernel.state import EMPTY_SNAPSHOT, ReadSet
from placet.kernel.steps import mapped
from placet.permits.revocations import is_revoked
from placet.scheduling.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import Ledger
    from placet.budgets.model import Charge, UncountableCharge
    from placet.controls.autonomy.model import AutonomyRule
    from placet.controls.snapshot import Controls, ControlState
    from placet.decision.attempt import Attempt
    from placet.decision.ports import PolicySource
    from placet.kernel.clock import Clock
    from placet.kernel.model import Proposal
    from placet.kernel.state import RowKey, Snapshot
    from placet.tenants.policy import TenantPolicy

NO_MAX_AGE: Final = 0.0
"""The `max_policy_age_seconds` with which a policy never becomes stale."""


class _Reads(Struct, frozen=True):
    """The charges and circuit breakers of one attempt: they say which rows and counters to read."""

    agent_policy: TenantPolicy | None
    charges: tuple[Charge, ...] = ()
    run_charges: tuple[Charge, ...] = ()
    uncountable: tuple[UncountableCharge, ...] = ()
    breakers: tuple[RowKey, ...] = ()


_NO_FILE: Final = _Reads(None)
"""What to read for an attempt whose tenant has no file."""


@dataclass(frozen=True, slots=True)
class _LedgerState:
    """The rows and counters that were read, and the ids of stored allows whose permits were revoked."""

    snapshot: Snapshot
    revoked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Gathers the context of a batch."""

    policies: PolicySource
    ledger: Ledger
    controls: ControlState
    clock: Clock
    max_policy_age_seconds: float
    """After this many seconds without confirmation a policy is stale. 0: no limit."""
    clock_skewed: Callable[[], bool] = lambda: False
    """Returns whether the clock is too far off to decide by."""

    async def gather(self, attempts: Sequence[Attempt]) -> BatchContext:
        """Gather one policy, one `now` and one read of the ledger for all attempts.

        Raises LedgerUnavailableError. If the read fails for another reason, gathers the attempts one by one, so that
        the attempt that causes the failure does not deny the others.
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
            contexts = await self._contexts(attempts, agent_policies, now_us)
        except PlacetError:
            raise
        except Exception:  # noqa: BLE001 - the attempt that causes the error again is denied
            contexts = [await self._context_or_error(attempt, agent_policies, now_us) for attempt in attempts]
        return BatchContext(policy, policy.revision if policy else "", stale, contexts, self.clock_skewed())

    async def _contexts(
        self, attempts: Sequence[Attempt], agent_policies: Mapping[str, TenantPolicy], now_us: int
    ) -> Sequence[EvaluationContext]:
        reads = await in_slices(
            mapped(lambda attempt: _reads(attempt, agent_policies, now_us), attempts, attempt_is_large)
        )
        controls = await self.controls.of({attempt.request.proposal.identity.tenant for attempt in attempts})
        state = _LedgerState(await self._load(attempts, reads), await self._revoked(attempts))
        remaining = iter(reads)
        return await in_slices(
            mapped(
                lambda attempt: _context(attempt, next(remaining), controls, state, now_us), attempts, attempt_is_large
            )
        )

    async def _context_or_error(
        self, attempt: Attempt, agent_policies: Mapping[str, TenantPolicy], now_us: int
    ) -> EvaluationContext:
        """Return the context, or a bare one that holds the error and the kill switches, if these can be read.

        The request of a bare context is redacted as for a tenant without a file: all of it is screened.
        """
        controls = NO_CONTROLS
        try:
            controls = (await self.controls.of({attempt.tenant}))[attempt.tenant]
            [context] = await self._contexts([attempt], agent_policies, now_us)
        except PlacetError:
            raise
        except Exception as error:  # noqa: BLE001 - any error becomes a recorded deny
            bare = _bare_context(attempt, controls, now_us)
            return replace(bare, agent_policy=agent_policies.get(attempt.tenant), error=error)
        return context

    async def _load(self, attempts: Sequence[Attempt], reads: Sequence[_Reads]) -> Snapshot:
        rows = []
        counters = []
        for attempt, read in zip(attempts, reads, strict=True):
            if attempt.approval_id:
                rows.append(approval_key(attempt.tenant, attempt.approval_id))
            if attempt.stored_allow is not None:
                rows.append(reservation_key(attempt.tenant, attempt.stored_allow_id))
            rows += read.breakers
            if read.charges or read.run_charges:
                counters += [charge.counter for charge in (*read.charges, *read.run_charges)]
                counters += [charge.earlier for charge in read.charges if charge.earlier is not None]
        if not rows and not counters:
            return EMPTY_SNAPSHOT
        return await self.ledger.load(ReadSet(rows, counters))

    async def _revoked(self, attempts: Sequence[Attempt]) -> frozenset[str]:
        """Return the ids of stored allows whose permits were revoked."""
        keys = [(attempt.tenant, attempt.stored_allow_id) for attempt in attempts if attempt.stored_allow is not None]
        if not keys:
            return frozenset()
        histories = await asyncio.gather(*(self.ledger.events_of(*key) for key in keys))
        return frozenset(
            decision_id for (_, decision_id), events in zip(keys, histories, strict=True) if is_revoked(events)
        )


def _reads(attempt: Attempt, agent_policies: Mapping[str, TenantPolicy], now_us: int) -> _Reads:
    proposal = attempt.request.proposal
    agent_policy = agent_policies.get(proposal.identity.tenant)
    if agent_policy is None:
        return _NO_FILE
    breakers = breaker_keys(agent_policy.breaker, proposal)
    if agent_policy.tool_class(proposal.action.tool) is ToolClass.UNKNOWN:
        return _Reads(agent_policy, breakers=breakers)
    budget_charges, uncountable = charges(agent_policy, proposal, now_us)
    of_run, uncountable_of_run = run_charges(agent_policy.run_limits(proposal.run.workflow), proposal)
    return _Reads(agent_policy, budget_charges, of_run, (*uncountable, *uncountable_of_run), breakers)


def _context(
    attempt: Attempt, reads: _Reads, controls_of: Mapping[str, Controls], state: _LedgerState, now_us: int
) -> EvaluationContext:
    proposal, agent_policy, snapshot = attempt.request.proposal, reads.agent_policy, state.snapshot
    tenant, tool = proposal.identity.tenant, proposal.action.tool
    stored_id = attempt.stored_allow_id if attempt.stored_allow is not None else ""
    revoked = stored_id in state.revoked
    controls = controls_of[tenant]
    if agent_policy is None:
        return replace(_bare_context(attempt, controls, now_us), permit_revoked=revoked)
    approval, approval_error = _presented_approval(attempt, snapshot, now_us) if attempt.approval_id else (None, None)
    breakers = {key: snapshot.rows.get(key) for key in reads.breakers}
    breaker_check = CLEAR
    autonomy = _autonomy(agent_policy, controls, proposal)
    policy_facts = base_facts(agent_policy.tool_class(tool), autonomy.level)
    if breakers:
        policy_facts["tool"].update(breaker_facts(breakers))
        breaker_check = check_breakers(
            agent_policy.breaker, breakers, dry_run=proposal.action.dry_run, now_us=now_us, repeats=stored_id
        )
    reservation_row = snapshot.rows.get(reservation_key(tenant, stored_id)) if stored_id else None
    usages = snapshot.counters
    if reservation_row is not None:
        usages = without(usages, reservation_of(reservation_row))
    all_charges = (*reads.charges, *reads.run_charges)
    if all_charges:
        all_charges, usages = carried_over(all_charges, usages)
    if reads.charges:
        policy_facts["budgets"] = facts(reads.charges, usages)
    if reads.run_charges:
        policy_facts["run"] = run_facts(reads.run_charges, usages)
    schema = agent_policy.params_schema(tool)
    if schema is not None:
        policy_facts["params_schema"] = {"violations": params_violations(schema, proposal.action.params)}
    if approval is not None:
        policy_facts["approval"] = document(approval, agent_policy.approver_groups)
    if (proof := proposal.user_proof) is not None:
        policy_facts["user"] = {"issuer": proof.issuer, "method": proof.method}
    return EvaluationContext(
        attempt=attempt,
        controls=controls,
        now_us=now_us,
        policy_input=policy_input(proposal.document, policy_facts, rfc3339(now_us)),
        agent_policy=agent_policy,
        permit_revoked=revoked,
        autonomy=autonomy,
        charges=all_charges,
        uncountable=reads.uncountable,
        usages=usages,
        breaker_finding=breaker_check.finding,
        probes=breaker_check.probes,
        approval=approval,
        approval_error=approval_error,
    )


def _autonomy(agent_policy: TenantPolicy, controls: Controls, proposal: Proposal) -> AutonomyRule:
    """Return the rule that applies, or the level of the agent's entry in the register if that is lower."""
    rule = resolve(agent_policy.autonomy_levels, controls.overrides, proposal)
    register = agent_policy.compiled.agents
    return rule if register is None else register.limited(rule, proposal.identity.agent)


def _bare_context(attempt: Attempt, controls: Controls, now_us: int) -> EvaluationContext:
    """Return the context of an attempt whose tenant's file is missing or could not be used."""
    seen = policy_input(attempt.proposal.document, base_facts(ToolClass.UNKNOWN), rfc3339(now_us))
    return EvaluationContext(attempt, controls, now_us, seen)


def _presented_approval(
    attempt: Attempt, snapshot: Snapshot, now_us: int
) -> tuple[Approval | None, tuple[str, str] | None]:
    """Return the presented approval, or the rule_id and reason why it cannot be used.

    A stored allow may use its own approval again, although that is `used`.
    """
    row = snapshot.rows.get(approval_key(attempt.tenant, attempt.approval_id))
    approval = from_row(row) if row is not None else None
    if approval is not None and attempt.stored_allow_id and approval.used_by == attempt.stored_allow_id:
        return approval, None
    error = why_unusable(approval, attempt.proposal, now_us)
    return (approval, None) if error is None else (None, error)
