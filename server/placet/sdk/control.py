"""Asks a running server what it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.sdk.blocking import BlockingClient
from placet.sdk.channel import (
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
from placet.sdk.decode import time_of
from placet.sdk.excess import OutcomeExcess, excess_of, verdict_message
from placet.sdk.fields import filled
from placet.sdk.steering import (
    AutonomyRule,
    AutonomySet,
    BudgetAdjusted,
    BudgetStatus,
    ControlRequest,
    KillScope,
    KillSwitch,
    KillSwitchSet,
)
from placet.sdk.steering_wire import (
    budget_of,
    counter_of,
    kill_switch_of,
    level_number,
    person_message,
    request_of,
    revoked_of,
    rule_of,
    scope_message,
)
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from datetime import datetime

    from placet.sdk.decision import Autonomy

KILL_TIMEOUT_SECONDS: Final = 30.0
"""Setting a kill switch: it stops at once what it covers, and answers when perhaps thousands of permits are revoked."""
CONFIRM_TIMEOUT_SECONDS: Final = 30.0
"""Confirming a policy: it is built, checked and started before the answer."""
_MODES: Final = {control_pb2.ENGINE_MODE_MANAGED: "managed", control_pb2.ENGINE_MODE_EXTERNAL: "external"}


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """Which policy is served, by which engine, and why a newer one was refused.

    `serving` is what gRPC health says, `not_serving_reasons` why not. `refused_since` is since when something is wrong
    with the newest policy, `unseen_since` since when its source cannot be seen; only then the served one grows old, and
    `decides_until` says when every call will be denied with ``pdp.policy_stale``. `stale` says that it is so.
    `held_revision` waits for `confirm_policy`, for the `held_reasons`.
    """

    ready: bool
    policy_revision: str
    loaded_at: datetime | None
    confirmed_at: datetime | None
    engine_mode: str
    engine_version: str
    engine_restarts: int
    tenants: tuple[str, ...]
    reloads_accepted: int
    reloads_refused: int
    last_error: str
    last_error_at: datetime | None
    serving: bool
    not_serving_reasons: tuple[str, ...]
    refused_since: datetime | None
    unseen_since: datetime | None
    decides_until: datetime | None
    stale: bool
    git_commit: str
    store_error: str
    data_dir_free_bytes: int
    held_revision: str
    held_since: datetime | None
    held_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyConfirmed:
    """What became of a policy that was confirmed: whether it decides, which one does, and why it does not."""

    activated: bool
    policy_revision: str
    last_error: str


class ControlClient(BlockingClient):
    """Shows and steers the server; safe to use from several threads. Whatever fails raises CallFailedError."""

    def policy_status(self) -> PolicyStatus:
        """Which policy is served."""
        parse = control_pb2.GetPolicyStatusResponse.FromString
        request = control_pb2.GetPolicyStatusRequest()
        answer = self._channel.read(GET_POLICY_STATUS, request, parse, self._timeout)
        return PolicyStatus(
            ready=answer.ready,
            policy_revision=answer.policy_revision,
            loaded_at=time_of(answer.loaded_at),
            confirmed_at=time_of(answer.confirmed_at),
            engine_mode=_MODES.get(answer.engine_mode, "unknown"),
            engine_version=answer.engine_version,
            engine_restarts=answer.engine_restarts,
            tenants=tuple(answer.tenants),
            reloads_accepted=answer.reloads_accepted,
            reloads_refused=answer.reloads_refused,
            last_error=answer.last_error,
            last_error_at=time_of(answer.last_error_at),
            serving=answer.serving,
            not_serving_reasons=tuple(answer.not_serving_reasons),
            refused_since=time_of(answer.refused_since),
            unseen_since=time_of(answer.unseen_since),
            decides_until=time_of(answer.decides_until),
            stale=answer.stale,
            git_commit=answer.git_commit,
            store_error=answer.store_error,
            data_dir_free_bytes=answer.data_dir_free_bytes,
            held_revision=answer.held_revision,
            held_since=time_of(answer.held_since),
            held_reasons=tuple(answer.held_reasons),
        )

    def confirm_policy(
        self, policy_revision: str, *, actor: str, reason: str, timeout: float = CONFIRM_TIMEOUT_SECONDS
    ) -> PolicyConfirmed:
        """Confirm the policy that waits as `held_revision`, so that it decides: on all replicas, and for good."""
        message = control_pb2.ConfirmPolicyRequest(actor=person_message(actor))
        request = filled(message, "", policy_revision=policy_revision, reason=reason)
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
            scope=scope_message(scope, value, tenant), actor=person_message(actor)
        )
        request = filled(message, "", reason=reason, expires_after_seconds=expires_after_seconds, strict=strict)
        parse = control_pb2.SetKillSwitchResponse.FromString
        answer = self._channel.read(SET_KILL_SWITCH, request, parse, timeout)  # set twice it is one switch
        return KillSwitchSet(
            kill_switch_of(answer.kill_switch),
            revoked=tuple(revoked_of(each) for each in answer.revoked),
            not_revoked=tuple(revoked_of(each) for each in answer.not_revoked),
            revocation_incomplete=answer.revocation_incomplete,
            warnings=tuple(answer.warnings),
        )

    def clear_kill_switch(
        self, kill_switch_id: str, *, actor: str, reason: str, tenant: str = ""
    ) -> ControlRequest | None:
        """Clear a switch: None when it is cleared, else what a second person has to ask for too."""
        message = control_pb2.ClearKillSwitchRequest(actor=person_message(actor))
        request = filled(message, "", kill_switch_id=kill_switch_id, tenant=tenant, reason=reason)
        parse = control_pb2.ClearKillSwitchResponse.FromString
        answer = self._channel.change(CLEAR_KILL_SWITCH, request, parse, self._timeout)
        return None if answer.cleared else request_of(answer.waiting)

    def kill_switches(self, tenant: str = "", *, every_tenant: bool = False) -> tuple[KillSwitch, ...]:
        """The switches that reach into the tenant; with "" those that belong to none. Newest first.

        `every_tenant`: those of all tenants, also of one that has no file, and of none.
        """
        request = filled(control_pb2.ListKillSwitchesRequest(), "", tenant=tenant, every_tenant=every_tenant)
        parse = control_pb2.ListKillSwitchesResponse.FromString
        answer = self._channel.read(LIST_KILL_SWITCHES, request, parse, self._timeout)
        return tuple(kill_switch_of(each) for each in answer.kill_switches)

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
        message = control_pb2.SetAutonomyRequest(level=level_number(level), actor=person_message(actor))
        request = filled(
            message, "", tenant=tenant, workflow=workflow, tool=tool, agent=agent, reason=reason, strict=strict
        )
        parse = control_pb2.SetAutonomyResponse.FromString
        answer = self._channel.change(SET_AUTONOMY, request, parse, self._timeout)
        rule = rule_of(answer.rule) if answer.HasField("rule") else None
        waiting = None if answer.applied else request_of(answer.waiting)
        return AutonomySet(rule, waiting, tuple(answer.warnings))

    def autonomy(self, tenant: str) -> tuple[AutonomyRule, ...]:
        """What `set_autonomy` set, newest first."""
        request = filled(control_pb2.ListAutonomyRequest(), "", tenant=tenant)
        parse = control_pb2.ListAutonomyResponse.FromString
        answer = self._channel.read(LIST_AUTONOMY, request, parse, self._timeout)
        return tuple(rule_of(each) for each in answer.rules)

    def budgets(self, tenant: str, budget_id: str = "", *, top: int = 0) -> tuple[BudgetStatus, ...]:
        """The tenant's budgets, or the one named, each with its `top` largest counters; 0 means 10."""
        request = filled(control_pb2.GetBudgetsRequest(), "", tenant=tenant, budget_id=budget_id, top=top)
        parse = control_pb2.GetBudgetsResponse.FromString
        answer = self._channel.read(GET_BUDGETS, request, parse, self._timeout)
        return tuple(budget_of(each) for each in answer.budgets)

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
        message = control_pb2.AdjustBudgetRequest(actor=person_message(actor))
        request = filled(
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
        waiting = None if answer.applied else request_of(answer.waiting)
        return BudgetAdjusted(counter_of(answer.counter), waiting, tuple(answer.warnings))

    def outcome_excesses(self, tenant: str) -> tuple[OutcomeExcess, ...]:
        """What outcomes named far above what was reserved, newest first: not counted until somebody accepts it."""
        found: list[OutcomeExcess] = []
        token = ""
        while True:
            request = filled(control_pb2.ListOutcomeExcessesRequest(), "", tenant=tenant, page_token=token)
            parse = control_pb2.ListOutcomeExcessesResponse.FromString
            answer = self._channel.read(LIST_OUTCOME_EXCESSES, request, parse, self._timeout)
            found += map(excess_of, answer.excesses)
            token = answer.next_page_token
            if not token:
                return tuple(found)

    def decide_outcome_excess(
        self, tenant: str, decision_id: str, *, accept: bool, actor: str, reason: str
    ) -> OutcomeExcess:
        """Count such an excess, or drop it. Not by who reported it, nor by the agent or user of the call."""
        request = verdict_message(tenant, decision_id, accept=accept, actor=actor, reason=reason)
        parse = control_pb2.DecideOutcomeExcessResponse.FromString
        return excess_of(self._channel.change(DECIDE_OUTCOME_EXCESS, request, parse, self._timeout).excess)
