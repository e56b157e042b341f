"""Asks a running server what it is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk._sync.channel import BlockingClient
from placet.sdk._wire.controls import (
    actor_to_proto,
    autonomy_rule_from_proto,
    autonomy_to_proto,
    budget_counter_from_proto,
    budget_from_proto,
    control_request_from_proto,
    kill_scope_to_proto,
    kill_switch_from_proto,
    policy_status_from_proto,
    revoked_permit_from_proto,
)
from placet.sdk._wire.fields import set_fields
from placet.sdk._wire.methods import (
    ADJUST_BUDGET,
    CLEAR_KILL_SWITCH,
    CONFIRM_POLICY,
    DECIDE_OUTCOME_EXCESS,
    GET_BUDGETS,
    GET_PERMIT_KEYS,
    GET_POLICY_STATUS,
    LIST_AUTONOMY,
    LIST_KILL_SWITCHES,
    LIST_OUTCOME_EXCESSES,
    SET_AUTONOMY,
    SET_KILL_SWITCH,
)
from placet.sdk._wire.outcomes import excess_verdict_to_proto, outcome_excess_from_proto
from placet.sdk.controls import (
    AutonomyRule,
    AutonomySet,
    Budget,
    BudgetAdjusted,
    ControlRequest,
    KillScope,
    KillSwitch,
    KillSwitchSet,
    PolicyConfirmed,
    PolicyStatus,
)
from placet.sdk.defaults import CONFIRM_TIMEOUT_SECONDS, KILL_TIMEOUT_SECONDS
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from placet.sdk.decision import Autonomy
    from placet.sdk.outcomes import OutcomeExcess


class ControlClient(BlockingClient):
    """Shows and steers the server; safe to use from several threads. Whatever fails raises CallFailedError."""

    def policy_status(self) -> PolicyStatus:
        """Which policy is served."""
        parse = control_pb2.GetPolicyStatusResponse.FromString
        request = control_pb2.GetPolicyStatusRequest()
        answer = self._channel.read(GET_POLICY_STATUS, request, parse, self._timeout)
        return policy_status_from_proto(answer)

    def confirm_policy(
        self, policy_revision: str, *, actor: str, reason: str, timeout: float = CONFIRM_TIMEOUT_SECONDS
    ) -> PolicyConfirmed:
        """Confirm the policy that waits as `held_revision`, so that it decides: on all replicas, and for good."""
        message = control_pb2.ConfirmPolicyRequest(actor=actor_to_proto(actor))
        request = set_fields(message, "", policy_revision=policy_revision, reason=reason)
        parse = control_pb2.ConfirmPolicyResponse.FromString
        answer = self._channel.change(CONFIRM_POLICY, request, parse, timeout)
        return PolicyConfirmed(answer.activated, answer.policy_revision, answer.last_error)

    def permit_keys(self) -> str:
        """The public keys that permits are verified with, as the JSON text of a JWK set; see `PermitKeys`."""
        parse = control_pb2.GetPermitKeysResponse.FromString
        return self._channel.read(GET_PERMIT_KEYS, control_pb2.GetPermitKeysRequest(), parse, self._timeout).jwks_json

    def set_kill_switch(
        self,
        scope: KillScope,
        value: str = "",
        *,
        actor: str,
        reason: str,
        tenant: str = "",
        expires_after_seconds: int = 0,
        strict: bool = False,
        timeout: float = KILL_TIMEOUT_SECONDS,
    ) -> KillSwitchSet:
        """Stop what the switch covers: the tool (with ``*``), agent, workflow or run `value`, a tenant, or everything.

        When this returns, no replica allows it any longer. `tenant` "" means every tenant; `expires_after_seconds` 0
        never. `strict` refuses a scope that matches nothing known instead of warning.
        """
        message = control_pb2.SetKillSwitchRequest(
            scope=kill_scope_to_proto(scope, value, tenant), actor=actor_to_proto(actor)
        )
        request = set_fields(message, "", reason=reason, expires_after_seconds=expires_after_seconds, strict=strict)
        parse = control_pb2.SetKillSwitchResponse.FromString
        answer = self._channel.read(SET_KILL_SWITCH, request, parse, timeout)  # set twice it is one switch
        return KillSwitchSet(
            kill_switch_from_proto(answer.kill_switch),
            revoked=tuple(revoked_permit_from_proto(each) for each in answer.revoked),
            not_revoked=tuple(revoked_permit_from_proto(each) for each in answer.not_revoked),
            revocation_incomplete=answer.revocation_incomplete,
            warnings=tuple(answer.warnings),
        )

    def clear_kill_switch(
        self, kill_switch_id: str, *, actor: str, reason: str, tenant: str = ""
    ) -> ControlRequest | None:
        """Clear a switch: None when it is cleared, else what a second person has to ask for too."""
        message = control_pb2.ClearKillSwitchRequest(actor=actor_to_proto(actor))
        request = set_fields(message, "", kill_switch_id=kill_switch_id, tenant=tenant, reason=reason)
        parse = control_pb2.ClearKillSwitchResponse.FromString
        answer = self._channel.change(CLEAR_KILL_SWITCH, request, parse, self._timeout)
        return None if answer.cleared else control_request_from_proto(answer.waiting)

    def kill_switches(self, tenant: str = "", *, every_tenant: bool = False) -> tuple[KillSwitch, ...]:
        """The switches that reach into the tenant; with "" those that belong to none. Newest first.

        `every_tenant`: those of all tenants, also of one that has no file, and of none.
        """
        request = set_fields(control_pb2.ListKillSwitchesRequest(), "", tenant=tenant, every_tenant=every_tenant)
        parse = control_pb2.ListKillSwitchesResponse.FromString
        answer = self._channel.read(LIST_KILL_SWITCHES, request, parse, self._timeout)
        return tuple(kill_switch_from_proto(each) for each in answer.kill_switches)

    def set_autonomy(
        self,
        tenant: str,
        level: Autonomy,
        *,
        actor: str,
        reason: str,
        workflow: str = "",
        tool: str = "",
        agent: str = "",
        strict: bool = False,
    ) -> AutonomySet:
        """Set how far agents may go; UNSPECIFIED takes the rule away. What lets them do more takes two persons.

        `strict` refuses a workflow, tool or agent that matches nothing known instead of warning.
        """
        message = control_pb2.SetAutonomyRequest(level=autonomy_to_proto(level), actor=actor_to_proto(actor))
        request = set_fields(
            message, "", tenant=tenant, workflow=workflow, tool=tool, agent=agent, reason=reason, strict=strict
        )
        parse = control_pb2.SetAutonomyResponse.FromString
        answer = self._channel.change(SET_AUTONOMY, request, parse, self._timeout)
        rule = autonomy_rule_from_proto(answer.rule) if answer.HasField("rule") else None
        waiting = None if answer.applied else control_request_from_proto(answer.waiting)
        return AutonomySet(rule, waiting, tuple(answer.warnings))

    def autonomy(self, tenant: str) -> tuple[AutonomyRule, ...]:
        """What `set_autonomy` set, newest first."""
        request = set_fields(control_pb2.ListAutonomyRequest(), "", tenant=tenant)
        parse = control_pb2.ListAutonomyResponse.FromString
        answer = self._channel.read(LIST_AUTONOMY, request, parse, self._timeout)
        return tuple(autonomy_rule_from_proto(each) for each in answer.rules)

    def budgets(self, tenant: str, budget_id: str = "", *, top: int = 0) -> tuple[Budget, ...]:
        """The tenant's budgets, or the one named, each with its `top` largest counters; 0 means 10."""
        request = set_fields(control_pb2.GetBudgetsRequest(), "", tenant=tenant, budget_id=budget_id, top=top)
        parse = control_pb2.GetBudgetsResponse.FromString
        answer = self._channel.read(GET_BUDGETS, request, parse, self._timeout)
        return tuple(budget_from_proto(each) for each in answer.budgets)

    def adjust_budget(
        self,
        tenant: str,
        budget_id: str,
        scope_key: str,
        amount: int,
        *,
        actor: str,
        reason: str,
        strict: bool = False,
    ) -> BudgetAdjusted:
        """Add to what a counter has as used; negative gives back. Much takes two persons.

        `strict` refuses a counter that nothing was counted in instead of warning.
        """
        message = control_pb2.AdjustBudgetRequest(actor=actor_to_proto(actor))
        request = set_fields(
            message,
            "",
            tenant=tenant,
            budget_id=budget_id,
            scope_key=scope_key,
            amount=amount,
            reason=reason,
            strict=strict,
        )
        parse = control_pb2.AdjustBudgetResponse.FromString
        answer = self._channel.change(ADJUST_BUDGET, request, parse, self._timeout)
        waiting = None if answer.applied else control_request_from_proto(answer.waiting)
        return BudgetAdjusted(budget_counter_from_proto(answer.counter), waiting, tuple(answer.warnings))

    def outcome_excesses(self, tenant: str) -> tuple[OutcomeExcess, ...]:
        """What outcomes named far above what was reserved, newest first: not counted until somebody accepts it."""
        found: list[OutcomeExcess] = []
        token = ""
        while True:
            request = set_fields(control_pb2.ListOutcomeExcessesRequest(), "", tenant=tenant, page_token=token)
            parse = control_pb2.ListOutcomeExcessesResponse.FromString
            answer = self._channel.read(LIST_OUTCOME_EXCESSES, request, parse, self._timeout)
            found += map(outcome_excess_from_proto, answer.excesses)
            token = answer.next_page_token
            if not token:
                return tuple(found)

    def decide_outcome_excess(
        self, tenant: str, decision_id: str, *, accept: bool, actor: str, reason: str
    ) -> OutcomeExcess:
        """Count such an excess, or drop it. Not by who reported it, nor by the agent or user of the call."""
        request = excess_verdict_to_proto(tenant, decision_id, accept=accept, actor=actor, reason=reason)
        parse = control_pb2.DecideOutcomeExcessResponse.FromString
        return outcome_excess_from_proto(
            self._channel.change(DECIDE_OUTCOME_EXCESS, request, parse, self._timeout).excess
        )
