"""The rule ids that Placet itself uses, with their reasons. Ids never change meaning and are never reused."""

from __future__ import annotations

import re
from typing import Final

RULE_ID_PATTERN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*\Z")
"""Upper or lower case, dots or underscores: ``refunds.over_limit``, ``JIRA_WRITE_ALLOWED_TICKETOPS``."""

PDP_PREFIX: Final = "pdp."
"""Prefix of denials because policy could not be evaluated or its result was invalid."""
ENGINE_UNAVAILABLE: Final = "pdp.engine_unavailable"
ENGINE_TIMEOUT: Final = "pdp.engine_timeout"
ENGINE_ERROR: Final = "pdp.engine_error"
UNDEFINED: Final = "pdp.undefined"
ANSWER_INVALID: Final = "pdp.answer_invalid"
NO_RULE_MATCHED: Final = "pdp.no_rule_matched"
UNKNOWN_TOOL: Final = "pdp.unknown_tool"
UNKNOWN_TENANT: Final = "pdp.unknown_tenant"
POLICY_STALE: Final = "pdp.policy_stale"
CLOCK_SKEW: Final = "pdp.clock_skew"
INTERNAL_ERROR: Final = "pdp.internal_error"
CONTENTION: Final = "pdp.contention"
POLICY_CHANGING: Final = "pdp.policy_changing"
PERMIT_REVOKED: Final = "pdp.permit_revoked"
REPEAT_NEEDS_APPROVAL: Final = "pdp.repeat_needs_approval"

REASONS: Final = {
    ENGINE_UNAVAILABLE: "The policy engine could not be reached",
    ENGINE_TIMEOUT: "The policy engine did not answer in time",
    ENGINE_ERROR: "The policy engine reported an error while evaluating",
    UNDEFINED: "The policy gave no result for this action",
    ANSWER_INVALID: "The policy engine's answer was not one that Placet accepts",
    NO_RULE_MATCHED: "No rule allows this action",
    UNKNOWN_TOOL: "The tool is in neither allowed_tools nor write_tools of the tenant's agent_policy",
    UNKNOWN_TENANT: "The tenant has no agent_policy",
    POLICY_STALE: "The policy could not be seen, so it may be an old one, for longer than max_policy_age_seconds",
    CLOCK_SKEW: "The clock is behind the newest record, or off the database's, by more than clock_skew_max_seconds",
    INTERNAL_ERROR: "Placet failed while deciding",
    CONTENTION: "Others changed what this decision rests on, as often as it was tried",
    POLICY_CHANGING: "The policy was replaced again and again while the action was decided",
    PERMIT_REVOKED: "The permit of the decision that this idempotency key stands for was revoked",
    REPEAT_NEEDS_APPROVAL: "The idempotency key stands for an allow that needs people's approval by now",
}
"""The sentence that people see for each id."""

BUDGETS_PREFIX: Final = "budgets."
"""Prefix of a budget's id."""
LIMITS_PREFIX: Final = "limits."
KILL_SWITCH_PREFIX: Final = "kill_switch."
"""Prefix of a kill switch's scope."""
AUTONOMY_PREFIX: Final = "autonomy."
"""Prefix of an autonomy level."""
BINDINGS_PREFIX: Final = "bindings."
"""Prefix of denials because the params differ from the fields that the action declares."""
SPEND_PREFIX: Final = "spend."
"""Prefix of the ids of the budgets that `spend_limits` defines."""

BUDGET_AMOUNT_MISSING: Final = "budgets.amount_missing"
BUDGET_CURRENCY: Final = "budgets.currency"
BUDGET_CUSTOMER_MISSING: Final = "budgets.customer_missing"
BUDGET_CUSTOMER_INVALID: Final = "budgets.customer_invalid"
BUDGET_SCOPE_MISSING: Final = "budgets.scope_missing"
SPEND_PER_USER: Final = "budgets.spend.per_user_per_day"
SPEND_PER_WORKSPACE: Final = "budgets.spend.per_workspace_per_month"
LIMIT_TOOL_CALLS: Final = "limits.max_tool_calls"
LIMIT_TOKENS: Final = "limits.max_tokens"
LIMIT_DURATION: Final = "limits.max_duration"
LIMIT_LOOP: Final = "limits.loop"
LIMIT_RUN_ID_MISSING: Final = "limits.run_id_missing"
LIMIT_BREAKER_OPEN: Final = "limits.breaker_open"
DESTINATION_AMBIGUOUS: Final = "destinations.ambiguous"
APPROVAL_DIGEST_MISMATCH: Final = "approvals.digest_mismatch"
APPROVAL_EXPIRED: Final = "approvals.expired"
APPROVAL_USED: Final = "approvals.used"
APPROVAL_REJECTED: Final = "approvals.rejected"
APPROVAL_CANCELLED: Final = "approvals.cancelled"
APPROVAL_PENDING: Final = "approvals.pending"
APPROVAL_UNKNOWN: Final = "approvals.unknown"
APPROVAL_VOTES_VOIDED: Final = "approvals.votes_voided"
APPROVAL_GRANTED: Final = "approvals.granted"
BINDING_AMOUNT_MISMATCH: Final = "bindings.amount_mismatch"
BINDING_AMOUNT_MISSING: Final = "bindings.amount_missing"
BINDING_CURRENCY_MISMATCH: Final = "bindings.currency_mismatch"
BINDING_CURRENCY_MISSING: Final = "bindings.currency_missing"
BINDING_CURRENCY_UNKNOWN: Final = "bindings.currency_unknown"
BINDING_DESTINATION_MISMATCH: Final = "bindings.destination_mismatch"
BINDING_DESTINATION_MISSING: Final = "bindings.destination_missing"
BINDING_DRY_RUN_MISMATCH: Final = "bindings.dry_run_mismatch"
BINDING_DRY_RUN_MISSING: Final = "bindings.dry_run_missing"
BINDING_ENVIRONMENT_MISMATCH: Final = "bindings.environment_mismatch"
BINDING_ENVIRONMENT_MISSING: Final = "bindings.environment_missing"

CORE_REASONS: Final = {
    BUDGET_AMOUNT_MISSING: "A budget limits the money this tool moves, and the action names no amount above zero",
    BUDGET_CURRENCY: "A budget covers this action in another currency, and Placet converts none",
    BUDGET_CUSTOMER_MISSING: "A budget counts by customer, and the params name none where it looks",
    BUDGET_CUSTOMER_INVALID: "A budget counts by customer, and the params name it with characters that hide or mislead",
    BUDGET_SCOPE_MISSING: "A budget counts by run, workflow or user, and the request does not say which",
    SPEND_PER_USER: "The user's spend limit of the day has no room for this action",
    SPEND_PER_WORKSPACE: "The tenant's spend limit of the month has no room for this action",
    LIMIT_TOOL_CALLS: "The run has made as many tool calls as it may",
    LIMIT_TOKENS: "The run has used as many tokens as it may",
    LIMIT_DURATION: "The run has gone on for as long as it may",
    LIMIT_LOOP: "The run has done this same action as often as it may",
    LIMIT_RUN_ID_MISSING: "The tenant limits runs, and the request names no run",
    LIMIT_BREAKER_OPEN: "Too many calls failed of late, so the circuit breaker is open",
    "kill_switch.global": "A kill switch stops everything",
    "kill_switch.tenant": "A kill switch stops this tenant",
    "kill_switch.tool": "A kill switch stops this tool",
    "kill_switch.agent": "A kill switch stops this agent",
    "kill_switch.workflow": "A kill switch stops this workflow",
    "kill_switch.run": "A kill switch stops this run",
    "autonomy.observe_only": "The agent may only observe here",
    "autonomy.draft_only": "The agent may only draft here, so it may only ask for a dry run",
    "autonomy.execute_with_approval": "The agent may write here only with a person's approval",
    DESTINATION_AMBIGUOUS: "The destination is written so that the tool may read another one than policy does",
    APPROVAL_DIGEST_MISMATCH: "The approval is for another action than this one",
    APPROVAL_EXPIRED: "Nobody decided before the approval expired",
    APPROVAL_USED: "The approval was used already",
    APPROVAL_REJECTED: "A person said no",
    APPROVAL_CANCELLED: "The approval was cancelled",
    APPROVAL_PENDING: "The approval still waits for people",
    APPROVAL_UNKNOWN: "The tenant has no such approval",
    APPROVAL_VOTES_VOIDED: "Votes that this allow rested on were voided",
    APPROVAL_GRANTED: "People approved this action",
    BINDING_AMOUNT_MISMATCH: "The params name another amount of money than the action declares",
    BINDING_AMOUNT_MISSING: "The tool moves money, and the action or its params name no amount above zero",
    BINDING_CURRENCY_MISMATCH: "The params or the tenant's file name another currency than the action declares",
    BINDING_CURRENCY_MISSING: "The tool moves money, and its params name no currency",
    BINDING_CURRENCY_UNKNOWN: "The minor unit of the action's currency is not known, so the amounts cannot be compared",
    BINDING_DESTINATION_MISMATCH: "The params name another destination than the action declares",
    BINDING_DESTINATION_MISSING: "The action or its params name no destination",
    BINDING_DRY_RUN_MISMATCH: "The params and the action differ on whether this is a dry run",
    BINDING_DRY_RUN_MISSING: "The action declares a dry run, and its params do not ask for one",
    BINDING_ENVIRONMENT_MISMATCH: "The params name another environment than the action declares",
    BINDING_ENVIRONMENT_MISSING: "The action or its params name no environment",
}
"""The sentence that people see for each id of Placet's own checks: state, and params that differ from the action."""

OWN_PREFIXES: Final = (
    PDP_PREFIX,
    BUDGETS_PREFIX,
    LIMITS_PREFIX,
    KILL_SWITCH_PREFIX,
    AUTONOMY_PREFIX,
    BINDINGS_PREFIX,
)
"""Prefixes of ids that are reserved for Placet."""
RETIRED: Final[frozenset[str]] = frozenset()
"""Ids that were used once and must not be used again."""


def is_reserved(rule_id: str) -> bool:
    """Return whether the id is reserved for Placet, so that no policy may use it."""
    return rule_id.startswith(OWN_PREFIXES) or rule_id in CORE_REASONS
