"""The rule ids that Placet itself uses, with their reasons. Ids never change meaning and are never reused."""

from __future__ import annotations

import re
from typing import Final

from placet.kernel.limits import COMMIT_TRIES_MAX, POLICY_RELOADS_MAX

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
    ANSWER_INVALID: "The policy engine's answer failed Placet's checks",
    NO_RULE_MATCHED: "No rule allows this action",
    UNKNOWN_TOOL: "The tool is in neither allowed_tools nor write_tools of the tenant's agent_policy",
    UNKNOWN_TENANT: "The tenant has no agent_policy",
    POLICY_STALE: "The policy was not confirmed as current for longer than max_policy_age_seconds",
    CLOCK_SKEW: "The clock is behind the newest record, or off the database's, by more than clock_skew_max_seconds",
    INTERNAL_ERROR: "Placet failed while deciding",
    CONTENTION: f"The inputs of the decision changed on each of {COMMIT_TRIES_MAX} tries; retry the request",
    POLICY_CHANGING: f"The policy was replaced on each of {POLICY_RELOADS_MAX} tries; retry the request",
    PERMIT_REVOKED: "The permit of the allow stored under this idempotency key was revoked",
    REPEAT_NEEDS_APPROVAL: "The allow stored under this idempotency key now needs an approval",
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
AGENT_UNKNOWN: Final = "identity.agent_unknown"
AGENT_EXPIRED: Final = "identity.agent_expired"
AGENT_WITHOUT_OWNER: Final = "identity.agent_without_owner"
RUNTIME_NOT_ALLOWED: Final = "identity.runtime_not_allowed"
DELEGATION_LOOP: Final = "identity.delegation_loop"
DELEGATION_TOO_DEEP: Final = "identity.delegation_too_deep"
DELEGATION_UNPROVEN: Final = "identity.delegation_unproven"
DELEGATION_WIDENS: Final = "identity.delegation_widens"
DELEGATION_SCOPE: Final = "identity.delegation_scope"
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
    BUDGET_AMOUNT_MISSING: "A budget limits the money that this tool moves, but the action has no amount above zero",
    BUDGET_CURRENCY: "A budget covers this action in another currency, and Placet does not convert currencies",
    BUDGET_CUSTOMER_MISSING: "A budget counts by customer, but the params have no customer at its pointer",
    BUDGET_CUSTOMER_INVALID: "A budget counts by customer, but the customer's name has hidden or misleading characters",
    BUDGET_SCOPE_MISSING: "A budget counts by run, workflow or user, but the request does not name it",
    SPEND_PER_USER: "The user's daily spend limit has no room for this action",
    SPEND_PER_WORKSPACE: "The tenant's monthly spend limit has no room for this action",
    LIMIT_TOOL_CALLS: "The run has reached its limit of tool calls",
    LIMIT_TOKENS: "The run has reached its limit of tokens",
    LIMIT_DURATION: "The run has reached its time limit",
    LIMIT_LOOP: "The run has reached its limit of calls of the same action",
    LIMIT_RUN_ID_MISSING: "The tenant limits runs, but the request has no run_id",
    LIMIT_BREAKER_OPEN: "The circuit breaker is open because too many recent calls failed",
    "kill_switch.global": "A kill switch stops everything",
    "kill_switch.tenant": "A kill switch stops this tenant",
    "kill_switch.tool": "A kill switch stops this tool",
    "kill_switch.agent": "A kill switch stops this agent",
    "kill_switch.workflow": "A kill switch stops this workflow",
    "kill_switch.run": "A kill switch stops this run",
    "autonomy.observe_only": "The agent may only observe here",
    "autonomy.draft_only": "The agent may only draft here: only dry runs are allowed",
    "autonomy.execute_with_approval": "The agent needs a person's approval to write here",
    AGENT_UNKNOWN: "The agent is not registered, and the tenant admits only registered agents",
    AGENT_EXPIRED: "The registration of the agent has expired",
    AGENT_WITHOUT_OWNER: "The agent is registered without an owner, and the tenant demands one",
    RUNTIME_NOT_ALLOWED: "The caller is none of the runtimes that may run this agent",
    DELEGATION_LOOP: "An agent or person appears twice in the delegation",
    DELEGATION_TOO_DEEP: "The delegation has more hops than the tenant permits",
    DELEGATION_UNPROVEN: "A hop of the delegation is not proven as the tenant requires",
    DELEGATION_WIDENS: "A hop of the delegation hands on more than it was given",
    DELEGATION_SCOPE: "The tool was not delegated to the agent",
    DESTINATION_AMBIGUOUS: "Policy and the tool could read the destination differently",
    APPROVAL_DIGEST_MISMATCH: "The approval is for another action",
    APPROVAL_EXPIRED: "The approval expired before it was decided or used",
    APPROVAL_USED: "The approval was already used",
    APPROVAL_REJECTED: "A person rejected the action",
    APPROVAL_CANCELLED: "The approval was cancelled",
    APPROVAL_PENDING: "The approval still needs votes",
    APPROVAL_UNKNOWN: "The tenant has no approval with this id",
    APPROVAL_VOTES_VOIDED: "Votes for the approval of this allow were voided",
    APPROVAL_GRANTED: "People approved this action",
    BINDING_AMOUNT_MISMATCH: "The params name another amount than the action declares",
    BINDING_AMOUNT_MISSING: "The tool moves money, but the action or its params have no amount above zero",
    BINDING_CURRENCY_MISMATCH: "The params or the tenant's file name another currency than the action declares",
    BINDING_CURRENCY_MISSING: "The tool moves money, but its params have no currency",
    BINDING_CURRENCY_UNKNOWN: "The minor unit of the action's currency is unknown, so the amounts cannot be compared",
    BINDING_DESTINATION_MISMATCH: "The params name another destination than the action declares",
    BINDING_DESTINATION_MISSING: "The action or its params have no destination",
    BINDING_DRY_RUN_MISMATCH: "The params and the action disagree on whether this is a dry run",
    BINDING_DRY_RUN_MISSING: "The action declares a dry run, but its params do not request one",
    BINDING_ENVIRONMENT_MISMATCH: "The params name another environment than the action declares",
    BINDING_ENVIRONMENT_MISSING: "The action or its params have no environment",
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
