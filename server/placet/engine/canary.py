"""Check whether an OPA serves the expected policy: ask it questions with known answers, on a separate connection."""

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

    from placet.tenants.policy import TenantPolicy

CANARY_TOOL: Final = "placet.canary"
CANARY_RULE_ID: Final = "canary.alive"
UNLISTED_RULE_ID: Final = "allowlist.unlisted_tool"
"""The baseline's finding for a tool that the tenant's file, as OPA loaded it, does not list."""
_ACTION: Final = Action(tool=CANARY_TOOL, params=b"{}")
_REQUEST: Final = canonical_request(_ACTION, Identity(agent="placet", tenant="placet"), Run(), Model(), ())
_INPUT: Final = policy_input(_REQUEST, base_facts(ToolClass.UNKNOWN), rfc3339(0))


async def ask_canary(client: OpaClient, timeout_seconds: float, expected_revision: str) -> Verdict | Indeterminate:
    """Ask the canary. Returns the verdict, or Indeterminate when the answer is not the expected one."""
    with contextlib.closing(_probe(client, timeout_seconds, expected_revision)) as probe:
        [verdict] = await probe.evaluate([_INPUT])
    if isinstance(verdict, Verdict) and (verdict.effect, verdict.rule_id) != (Effect.DENY, CANARY_RULE_ID):
        cause = f"the canary was answered {verdict.effect} {verdict.rule_id}, expected deny {CANARY_RULE_ID}"
        return Indeterminate(rule_ids.ANSWER_INVALID, cause)
    return verdict


async def tenants_error(
    client: OpaClient, timeout_seconds: float, agent_policies: Mapping[str, TenantPolicy], revision: str
) -> str:
    """Return why OPA cannot decide for these tenants; "" when no difference was found.

    The baseline denies a tool that is in neither list of the tenant's file as OPA loaded it. A tool that is listed in
    `agent_policies` and denied as unlisted shows that OPA serves another policy than rego_dir.
    """
    questions = [(tenant, tool) for tenant, policy in agent_policies.items() for tool in _listed(policy)[:1]]
    for start in range(0, len(questions), BATCH_ACTIONS_MAX):
        portion = questions[start : start + BATCH_ACTIONS_MAX]
        with contextlib.closing(_probe(client, timeout_seconds, revision)) as probe:
            verdicts = await probe.evaluate([_question(tenant, tool) for tenant, tool in portion])
        for (tenant, tool), verdict in zip(portion, verdicts, strict=True):
            if isinstance(verdict, Verdict) and any(
                finding.rule_id == UNLISTED_RULE_ID for finding in verdict.findings
            ):
                return (
                    f"OPA's policy at revision {revision} does not list the tool {tool} of the tenant {tenant}, but "
                    "rego_dir does: OPA serves another policy than rego_dir. Give both the same policy"
                )
    return ""


def _probe(client: OpaClient, timeout_seconds: float, expected_revision: str) -> OpaClient:
    return OpaClient(
        client.address,
        timeout_seconds=timeout_seconds,
        expected_revision=expected_revision,
        on_failure=lambda _rule_id, _cause: None,  # the return value reports it
    )


def _listed(policy: TenantPolicy) -> tuple[str, ...]:
    return tuple(sorted({*policy.allowed_tools, *policy.write_tools}))


def _question(tenant: str, tool: str) -> bytes:
    request = canonical_request(
        Action(tool=tool, params=b"{}"), Identity(agent="placet", tenant=tenant), Run(), Model(), ()
    )
    return policy_input(request, base_facts(ToolClass.UNKNOWN), rfc3339(0))


async def canary_error(client: OpaClient, timeout_seconds: float, expected_revision: str) -> str:
    """Ask the canary. Returns what is wrong with the answer; "" when it is correct."""
    verdict = await ask_canary(client, timeout_seconds, expected_revision)
    return f"{verdict.rule_id}: {verdict.cause}" if isinstance(verdict, Indeterminate) else ""
