"""Is this OPA the one to ask? Decisions whose answers are known, asked over a connection of its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from placet.actions.document import canonical_request
from placet.decision.policy_input import base_facts, policy_input
from placet.engine.client import OpaClient
from placet.kernel import rule_ids
from placet.kernel.clock import rfc3339
from placet.kernel.limits import BATCH_ACTIONS_MAX
from placet.kernel.model import Action, Effect, Identity, Indeterminate, Model, Run, ToolClass, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.tenants.agent_policy import AgentPolicy

CANARY_TOOL: Final = "placet.canary"
CANARY_RULE_ID: Final = "canary.alive"
UNLISTED_RULE_ID: Final = "allowlist.unlisted_tool"
"""What the baseline finds where the tenant's file, as OPA has it, lists the tool nowhere."""
_ACTION: Final = Action(tool=CANARY_TOOL, params=b"{}")
_SAID: Final = canonical_request(_ACTION, Identity(agent="placet", tenant="placet"), Run(), Model(), ())
_INPUT: Final = policy_input(_SAID, base_facts(ToolClass.UNKNOWN), rfc3339(0))


async def ask_canary(client: OpaClient, timeout_seconds: float, expected_revision: str) -> Verdict | Indeterminate:
    """Ask the OPA of `client` the canary. A Indeterminate unless it was answered rightly."""
    with contextlib.closing(_probe(client, timeout_seconds, expected_revision)) as probe:
        [verdict] = await probe.evaluate([_INPUT])
    if isinstance(verdict, Verdict) and (verdict.effect, verdict.rule_id) != (Effect.DENY, CANARY_RULE_ID):
        cause = f"the canary was answered {verdict.effect} {verdict.rule_id}, expected deny {CANARY_RULE_ID}"
        return Indeterminate(rule_ids.ANSWER_INVALID, cause)
    return verdict


async def tenants_fault(
    client: OpaClient, timeout_seconds: float, agent_policies: Mapping[str, AgentPolicy], revision: str
) -> str:
    """Why the OPA of `client` cannot decide for these tenants; "" when nothing speaks against it.

    The baseline denies a tool that is in neither list of the tenant's file as OPA has it. A tool that is in a list here
    and in none there shows that OPA was given another policy than the one that is read here.
    """
    asked = [(tenant, tool) for tenant, policy in agent_policies.items() for tool in _listed(policy)[:1]]
    for start in range(0, len(asked), BATCH_ACTIONS_MAX):
        some = asked[start : start + BATCH_ACTIONS_MAX]
        with contextlib.closing(_probe(client, timeout_seconds, revision)) as probe:
            verdicts = await probe.evaluate([_probing(tenant, tool) for tenant, tool in some])
        for (tenant, tool), verdict in zip(some, verdicts, strict=True):
            if isinstance(verdict, Verdict) and any(each.rule_id == UNLISTED_RULE_ID for each in verdict.findings):
                return (
                    f"OPA's policy at revision {revision} does not list the tool {tool} of the tenant {tenant}, as "
                    "rego_dir does: it serves another policy than rego_dir. Give both the same"
                )
    return ""


def _probe(client: OpaClient, timeout_seconds: float, expected_revision: str) -> OpaClient:
    return OpaClient(
        client.address,
        timeout_seconds=timeout_seconds,
        expected_revision=expected_revision,
        on_failure=lambda _rule_id, _cause: None,  # told by the return value
    )


def _listed(policy: AgentPolicy) -> tuple[str, ...]:
    return tuple(sorted({*policy.allowed_tools, *policy.write_tools}))


def _probing(tenant: str, tool: str) -> bytes:
    said = canonical_request(
        Action(tool=tool, params=b"{}"), Identity(agent="placet", tenant=tenant), Run(), Model(), ()
    )
    return policy_input(said, base_facts(ToolClass.UNKNOWN), rfc3339(0))


async def canary_fault(client: OpaClient, timeout_seconds: float, expected_revision: str) -> str:
    """Why this OPA cannot be served from; "" when it can."""
    verdict = await ask_canary(client, timeout_seconds, expected_revision)
    return f"{verdict.rule_id}: {verdict.cause}" if isinstance(verdict, Indeterminate) else ""
