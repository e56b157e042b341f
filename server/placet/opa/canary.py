"""Is this OPA the one to ask? A decision whose answer is known, asked over a connection of its own."""

from __future__ import annotations

from typing import Final

from placet.core import rule_ids
from placet.core.model import Action, Effect, Identity, Model, NoVerdict, Run, ToolClass, Verdict
from placet.core.policy_input import bare_facts, document, policy_input, rfc3339
from placet.opa.client import OpaClient

CANARY_TOOL: Final = "placet.canary"
CANARY_RULE_ID: Final = "canary.alive"
_ACTION: Final = Action(tool=CANARY_TOOL, params=b"{}")
_SAID: Final = document(_ACTION, Identity(agent="placet", tenant="placet"), Run(), Model(), ())
_INPUT: Final = policy_input(_SAID, bare_facts(ToolClass.UNKNOWN), rfc3339(0))


async def ask_canary(client: OpaClient, timeout_seconds: float, expected_revision: str) -> Verdict | NoVerdict:
    """Ask the OPA of `client` the canary. A NoVerdict unless it was answered rightly."""
    probe = OpaClient(
        client.address,
        timeout_seconds=timeout_seconds,
        expected_revision=expected_revision,
        on_failure=lambda _rule_id, _cause: None,  # told by the return value
    )
    try:
        [verdict] = await probe.evaluate([_INPUT])
    finally:
        probe.close()
    if isinstance(verdict, Verdict) and (verdict.effect, verdict.rule_id) != (Effect.DENY, CANARY_RULE_ID):
        cause = f"the canary was answered {verdict.effect} {verdict.rule_id}, expected deny {CANARY_RULE_ID}"
        return NoVerdict(rule_ids.ANSWER_INVALID, cause)
    return verdict


async def canary_fault(client: OpaClient, timeout_seconds: float, expected_revision: str) -> str:
    """Why this OPA cannot be served from; "" when it can."""
    verdict = await ask_canary(client, timeout_seconds, expected_revision)
    return f"{verdict.rule_id}: {verdict.cause}" if isinstance(verdict, NoVerdict) else ""
