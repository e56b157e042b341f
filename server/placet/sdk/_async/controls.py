"""The client of operators, for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from placet.sdk._async.base import AsyncBaseClient
from placet.sdk._transport.status import is_unimplemented
from placet.sdk._wire import methods
from placet.sdk._wire.agents import agent_list_from_proto
from placet.sdk._wire.controls import (
    actor_to_proto,
    autonomy_rule_from_proto,
    autonomy_to_proto,
    budget_counter_from_proto,
    budget_from_proto,
    control_request_from_proto,
    kill_scope_to_proto,
    kill_switch_from_proto,
    kill_switch_set_from_proto,
    pending_request_from_proto,
    policy_status_from_proto,
)
from placet.sdk._wire.fields import set_fields
from placet.sdk._wire.outcomes import excess_verdict_to_proto, outcome_excess_from_proto
from placet.sdk.controls import AutonomySet, BudgetAdjusted, PolicyConfirmed
from placet.sdk.defaults import CONFIRM_TIMEOUT_SECONDS, KILL_TIMEOUT_SECONDS
from placet.sdk.errors import CallFailedError
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from placet.sdk.agents import AgentList
    from placet.sdk.controls import (
        AutonomyRule,
        Budget,
        ControlRequest,
        KillScope,
        KillSwitch,
        KillSwitchSet,
        PolicyStatus,
    )
    from placet.sdk.decision import Autonomy
    from placet.sdk.outcomes import OutcomeExcess

_Response = TypeVar("_Response")


class AsyncControlClient(AsyncBaseClient):
    """Client of an operator: kill switches, levels of autonomy, budgets, and the served policy.

    ::

        from placet.sdk import AsyncControlClient, KillScope

        async with AsyncControlClient("127.0.0.1:7070") as control:
            await control.set_kill_switch(KillScope.TOOL, "stripe.*", actor="u_ann", reason="incident 42")

    Safe to use from several event loops.

    Each change takes the `actor`, the id of the person who makes it, and the `reason`, at most 1,024 bytes; the audit
    trail records both. Leave the actor out if the server authenticates its callers: the credential says who calls. A
    change that gives agents more freedom waits until a second person requests the same: the
    result then has a `pending_request`, and nothing is changed yet. With `strict`, the server rejects a change that
    matches nothing known, such as a misspelt tool; without it, the change is made and the result has `warnings`.

    Args:
        address: Address of the server, ``host:port`` or ``unix:/path``.
        timeout: Default timeout of a call in seconds, more than 0 and at most 300.
        credentials: Credentials of a TLS connection, see `tls_credentials`. None takes them from the variables
            PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE; without them there is no TLS.
        token: Token of the caller, an access token or a JWT; or a function that returns the current one. It is called
            for each call, and must return at once. None takes the token from the variable PLACET_TOKEN, if that is set.
        allow_plaintext_token: True to send the token without TLS beyond this host, where something else encrypts.

    Each method raises CallFailedError if the call fails, and InvalidRequestError if an argument is invalid. A call that
    changes something is sent once; if there is no response, the change may have been made.
    """

    async def policy_status(self) -> PolicyStatus:
        """Return the state of the server and of the policy that it serves."""
        request, parse = control_pb2.GetPolicyStatusRequest(), control_pb2.GetPolicyStatusResponse.FromString
        return policy_status_from_proto(await self._read(methods.GET_POLICY_STATUS, request, parse))

    async def confirm_policy(
        self, policy_revision: str, *, actor: str = "", reason: str, timeout: float = CONFIRM_TIMEOUT_SECONDS
    ) -> PolicyConfirmed:
        """Confirm the policy that waits as `PolicyStatus.held_revision`: it then decides on all replicas, for good.

        If two people must confirm it, the first confirmation only requests it: see `PolicyConfirmed.pending_request`.
        """
        message = control_pb2.ConfirmPolicyRequest(actor=actor_to_proto(actor))
        request = set_fields(message, "", policy_revision=policy_revision, reason=reason)
        parse = control_pb2.ConfirmPolicyResponse.FromString
        response = await self._channel.change(methods.CONFIRM_POLICY, request, parse, timeout)
        pending = control_request_from_proto(response.pending_request) if response.HasField("pending_request") else None
        return PolicyConfirmed(response.activated, response.policy_revision, response.last_error, pending)

    async def permit_keys(self) -> str:
        """Return the public keys that verify permits, as the JSON text of a JWK set. See `PermitKeys`."""
        request, parse = control_pb2.GetPermitKeysRequest(), control_pb2.GetPermitKeysResponse.FromString
        return (await self._read(methods.GET_PERMIT_KEYS, request, parse)).jwks_json

    async def set_kill_switch(
        self,
        scope: KillScope,
        value: str = "",
        *,
        actor: str = "",
        reason: str,
        tenant: str = "",
        expires_after_seconds: int = 0,
        strict: bool = False,
        timeout: float = KILL_TIMEOUT_SECONDS,
    ) -> KillSwitchSet:
        """Set a kill switch. When this method returns, no replica allows an action that the switch covers.

        `value` names the tool (``*`` matches any characters), agent, workflow or run; it is empty for the scopes GLOBAL
        and TENANT. An empty `tenant` means every tenant. The switch ends after `expires_after_seconds`, at most
        31,536,000; 0 means never. Setting the same switch again is safe, so this call is retried until `timeout`.
        """
        message = control_pb2.SetKillSwitchRequest(
            scope=kill_scope_to_proto(scope, value, tenant), actor=actor_to_proto(actor)
        )
        request = set_fields(message, "", reason=reason, expires_after_seconds=expires_after_seconds, strict=strict)
        parse = control_pb2.SetKillSwitchResponse.FromString
        response = await self._channel.read(methods.SET_KILL_SWITCH, request, parse, timeout)
        return kill_switch_set_from_proto(response)

    async def clear_kill_switch(
        self, kill_switch_id: str, *, actor: str = "", reason: str, tenant: str = ""
    ) -> ControlRequest | None:
        """Clear a kill switch, and return None, or the request that waits for a second person.

        `tenant` is the tenant of the switch, empty for one of no tenant. Clearing a global switch takes two persons.
        """
        message = control_pb2.ClearKillSwitchRequest(actor=actor_to_proto(actor))
        request = set_fields(message, "", kill_switch_id=kill_switch_id, tenant=tenant, reason=reason)
        parse = control_pb2.ClearKillSwitchResponse.FromString
        response = await self._channel.change(methods.CLEAR_KILL_SWITCH, request, parse, self._timeout)
        return None if response.cleared else pending_request_from_proto(response)

    async def kill_switches(self, tenant: str = "", *, every_tenant: bool = False) -> tuple[KillSwitch, ...]:
        """Return the kill switches that apply to the tenant, newest first.

        With an empty `tenant`, those that belong to no tenant. With `every_tenant`, all of them.
        """
        message = control_pb2.ListKillSwitchesRequest()
        request = set_fields(message, "", tenant=tenant, every_tenant=every_tenant)
        parse = control_pb2.ListKillSwitchesResponse.FromString
        response = await self._read(methods.LIST_KILL_SWITCHES, request, parse)
        return tuple(map(kill_switch_from_proto, response.kill_switches))

    async def set_autonomy(
        self,
        tenant: str,
        level: Autonomy,
        *,
        actor: str = "",
        reason: str,
        workflow: str = "",
        tool: str = "",
        agent: str = "",
        strict: bool = False,
    ) -> AutonomySet:
        """Set the level of autonomy of the actions that match `workflow`, `tool` and `agent`.

        An empty `workflow`, `tool` or `agent` matches any; in `tool`, ``*`` matches any characters. The level
        `UNSPECIFIED` removes the rule. Raising a level takes two persons.
        """
        message = control_pb2.SetAutonomyRequest(level=autonomy_to_proto(level), actor=actor_to_proto(actor))
        request = set_fields(
            message, "", tenant=tenant, workflow=workflow, tool=tool, agent=agent, reason=reason, strict=strict
        )
        parse = control_pb2.SetAutonomyResponse.FromString
        response = await self._channel.change(methods.SET_AUTONOMY, request, parse, self._timeout)
        rule = autonomy_rule_from_proto(response.rule) if response.HasField("rule") else None
        pending_request = None if response.applied else pending_request_from_proto(response)
        return AutonomySet(rule, pending_request, tuple(response.warnings))

    async def agents(self, tenant: str) -> AgentList:
        """Return the registered agents of the tenant, and those that are used but not registered."""
        request = set_fields(control_pb2.ListAgentsRequest(), "", tenant=tenant)
        parse = control_pb2.ListAgentsResponse.FromString
        return agent_list_from_proto(await self._read(methods.LIST_AGENTS, request, parse))

    async def autonomy(self, tenant: str) -> tuple[AutonomyRule, ...]:
        """Return the rules that `set_autonomy` set, newest first. Rules of the tenant's file are not included."""
        request = set_fields(control_pb2.ListAutonomyRulesRequest(), "", tenant=tenant)
        parse = control_pb2.ListAutonomyRulesResponse.FromString
        response = await self._read_renamed(methods.LIST_AUTONOMY_RULES, methods.LIST_AUTONOMY, request, parse)
        return tuple(map(autonomy_rule_from_proto, response.rules))

    async def budgets(self, tenant: str, budget_id: str = "", *, top: int = 0) -> tuple[Budget, ...]:
        """Return the tenant's budgets, or the one with this id, by id.

        Each has at most `top` counters, those with the most used first. 0 means 10; the maximum is 100.
        """
        request = set_fields(control_pb2.ListBudgetsRequest(), "", tenant=tenant, budget_id=budget_id, top=top)
        parse = control_pb2.ListBudgetsResponse.FromString
        response = await self._read_renamed(methods.LIST_BUDGETS, methods.GET_BUDGETS, request, parse)
        return tuple(map(budget_from_proto, response.budgets))

    async def adjust_budget(
        self,
        tenant: str,
        budget_id: str,
        scope_key: str,
        amount: int,
        *,
        actor: str = "",
        reason: str,
        strict: bool = False,
    ) -> BudgetAdjusted:
        """Add `amount` to what a counter has used. A negative amount gives back. A large change takes two persons.

        `scope_key` names the counter, such as ``user:u_4812``. `amount` is in the budget's unit, and not 0.
        """
        message = control_pb2.AdjustBudgetRequest(actor=actor_to_proto(actor))
        set_fields(message, "", tenant=tenant, budget_id=budget_id, scope_key=scope_key)
        request = set_fields(message, "", amount=amount, reason=reason, strict=strict)
        parse = control_pb2.AdjustBudgetResponse.FromString
        response = await self._channel.change(methods.ADJUST_BUDGET, request, parse, self._timeout)
        pending_request = None if response.applied else pending_request_from_proto(response)
        return BudgetAdjusted(budget_counter_from_proto(response.counter), pending_request, tuple(response.warnings))

    async def outcome_excesses(self, tenant: str) -> tuple[OutcomeExcess, ...]:
        """Return the reported amounts that are far above what was reserved, newest first.

        They are not counted until a person accepts them with `decide_outcome_excess`.
        """
        excesses: list[OutcomeExcess] = []
        page_token = ""
        while True:
            message = control_pb2.ListOutcomeExcessesRequest()
            request = set_fields(message, "", tenant=tenant, page_token=page_token)
            parse = control_pb2.ListOutcomeExcessesResponse.FromString
            response = await self._read(methods.LIST_OUTCOME_EXCESSES, request, parse)
            excesses += map(outcome_excess_from_proto, response.excesses)
            page_token = response.next_page_token
            if not page_token:
                return tuple(excesses)

    async def decide_outcome_excess(
        self, tenant: str, decision_id: str, *, accept: bool, actor: str = "", reason: str
    ) -> OutcomeExcess:
        """Count such an amount, or drop it. The caller that reported it and the call's agent and user cannot do so."""
        request = excess_verdict_to_proto(tenant, decision_id, accept=accept, actor=actor, reason=reason)
        parse = control_pb2.DecideOutcomeExcessResponse.FromString
        response = await self._channel.change(methods.DECIDE_OUTCOME_EXCESS, request, parse, self._timeout)
        return outcome_excess_from_proto(response.excess)

    async def _read(self, method: str, request: Message, parse: Callable[[bytes], _Response]) -> _Response:
        return await self._channel.read(method, request, parse, self._timeout)

    async def _read_renamed(
        self, method: str, deprecated: str, request: Message, parse: Callable[[bytes], _Response]
    ) -> _Response:
        """Call a method by its current name, or by its deprecated name if the server is older and has only that."""
        try:
            return await self._read(method, request, parse)
        except CallFailedError as error:
            if not is_unimplemented(error.failure):
                raise
        return await self._read(deprecated, request, parse)
