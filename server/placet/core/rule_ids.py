"""The `pdp.*` rule ids: each way in which Placet itself denies. Ids never change meaning and are never reused."""

from __future__ import annotations

import re
from typing import Final

RULE_ID_PATTERN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*\Z")
"""Upper or lower case, dots or underscores: ``refunds.over_limit``, ``JIRA_WRITE_ALLOWED_TICKETOPS``."""

PDP_PREFIX: Final = "pdp."
"""Ids that begin so are Placet's own; no policy may name one."""
ENGINE_UNAVAILABLE: Final = "pdp.engine_unavailable"
ENGINE_TIMEOUT: Final = "pdp.engine_timeout"
ENGINE_ERROR: Final = "pdp.engine_error"
UNDEFINED: Final = "pdp.undefined"
ANSWER_INVALID: Final = "pdp.answer_invalid"
NO_RULE_MATCHED: Final = "pdp.no_rule_matched"
UNKNOWN_TOOL: Final = "pdp.unknown_tool"
UNKNOWN_TENANT: Final = "pdp.unknown_tenant"
POLICY_STALE: Final = "pdp.policy_stale"
INTERNAL_ERROR: Final = "pdp.internal_error"

REASONS: Final = {
    ENGINE_UNAVAILABLE: "The policy engine could not be reached",
    ENGINE_TIMEOUT: "The policy engine did not answer in time",
    ENGINE_ERROR: "The policy engine reported an error while evaluating",
    UNDEFINED: "The policy gave no result for this action",
    ANSWER_INVALID: "The policy engine's answer was not one that Placet accepts",
    NO_RULE_MATCHED: "No rule allows this action",
    UNKNOWN_TOOL: "The tool is in neither allowed_tools nor write_tools of the tenant's agent_policy",
    UNKNOWN_TENANT: "The tenant has no agent_policy",
    POLICY_STALE: "The policy has not been confirmed as current for longer than max_policy_age_seconds",
    INTERNAL_ERROR: "Placet failed while deciding",
}
"""One sentence for people to each id."""

RETIRED: Final[frozenset[str]] = frozenset()
"""Ids that were given once and are never to be given again."""
