"""Reasons and texts of refused votes, changes and reports. Ids never change meaning and are never reused."""

from __future__ import annotations

from typing import Final

from placet.kernel.limits import AUTONOMY_RULES_MAX, KILL_SWITCHES_MAX, SHARED_KEYS_MAX, TOKENS_MAX

NOTHING_WAS_ALLOWED: Final = "NOTHING_WAS_ALLOWED"
SECOND_PERSON_NEEDED: Final = "SECOND_PERSON_NEEDED"
PEOPLE_NEEDED: Final = "PEOPLE_NEEDED"
PUBLISHER_MAY_NOT_CONFIRM: Final = "PUBLISHER_MAY_NOT_CONFIRM"
CONCERNED_MAY_NOT_CHANGE: Final = "CONCERNED_MAY_NOT_CHANGE"
AGENT_MAY_NOT_CHANGE: Final = "AGENT_MAY_NOT_CHANGE"
KILL_SWITCHES_FULL: Final = "KILL_SWITCHES_FULL"
AUTONOMY_RULES_FULL: Final = "AUTONOMY_RULES_FULL"
TOKENS_FULL: Final = "TOKENS_FULL"
AUTHENTICATION_OFF: Final = "AUTHENTICATION_OFF"
KEYS_IN_FILES: Final = "KEYS_IN_FILES"
KEYS_FULL: Final = "KEYS_FULL"
EXCESS_DECIDED: Final = "EXCESS_DECIDED"
BUDGET_BELOW_ZERO: Final = "BUDGET_BELOW_ZERO"
APPROVAL_ENDED: Final = "APPROVAL_ENDED"
APPROVAL_DECIDED: Final = "APPROVAL_DECIDED"
APPROVAL_DIFFERS: Final = "APPROVAL_DIFFERS"
VOTED_ALREADY: Final = "VOTED_ALREADY"
ROLE_VOTED_ALREADY: Final = "ROLE_VOTED_ALREADY"
REQUESTER_MAY_NOT_APPROVE: Final = "REQUESTER_MAY_NOT_APPROVE"
AGENT_MAY_NOT_APPROVE: Final = "AGENT_MAY_NOT_APPROVE"
ROLE_MAY_NOT_APPROVE: Final = "ROLE_MAY_NOT_APPROVE"
NOT_YOURS_TO_CANCEL: Final = "NOT_YOURS_TO_CANCEL"
APPROVERS_UNKNOWN: Final = "APPROVERS_UNKNOWN"

REFUSALS: Final = {
    NOTHING_WAS_ALLOWED: "the decision did not allow the action, so there is no outcome to report",
    SECOND_PERSON_NEEDED: "you already requested this change; a different person must request the same within one hour",
    PEOPLE_NEEDED: "this change needs two people, and the credential is a program's; use people's credentials",
    PUBLISHER_MAY_NOT_CONFIRM: "you published this policy; a different person must confirm it",
    CONCERNED_MAY_NOT_CHANGE: "this control limits you or one of your runs; a different person must change it",
    AGENT_MAY_NOT_CHANGE: "an agent may not loosen a control; a person must change it",
    KILL_SWITCHES_FULL: f"limit of {KILL_SWITCHES_MAX} kill switches reached; clear unused ones, or set a wider one",
    AUTONOMY_RULES_FULL: f"limit of {AUTONOMY_RULES_MAX} autonomy rules reached; clear unused ones, or set a wider one",
    TOKENS_FULL: f"limit of {TOKENS_MAX} access tokens reached; revoke unused ones, or use JWTs of an issuer",
    AUTHENTICATION_OFF: "this server does not authenticate its callers, so anyone could create a token for later; "
    "stop it, create the first token with `placet tokens create --data-dir`, and start it with --auth-file",
    KEYS_IN_FILES: "the permit keys of this server are files; rotate them where they are, with `placet keys rotate`",
    KEYS_FULL: f"limit of {SHARED_KEYS_MAX} keys reached; wait until old ones expire, or withdraw them",
    EXCESS_DECIDED: "the excess of this outcome was already accepted or dropped",
    BUDGET_BELOW_ZERO: "the adjustment gives back more than was used; give back at most what was used",
    APPROVAL_ENDED: "the approval has ended, so votes no longer count",
    APPROVAL_DECIDED: "already approved: the quorum is reached. To stop it, cancel the approval",
    APPROVAL_DIFFERS: "the approval is for a different action than the action_digest you sent; read the approval again",
    VOTED_ALREADY: "you have already voted on this approval, and a vote counts once",
    ROLE_VOTED_ALREADY: "each vote must come from a different role, and all of your roles have voted",
    REQUESTER_MAY_NOT_APPROVE: "you cannot vote on an action requested on your own behalf; you can cancel the approval",
    AGENT_MAY_NOT_APPROVE: "the agent that requests the action, or one that delegated work to it, cannot vote on it",
    ROLE_MAY_NOT_APPROVE: "none of your roles may vote on this approval",
    NOT_YOURS_TO_CANCEL: "only the user on whose behalf the action was requested, or a possible voter, can cancel it",
    APPROVERS_UNKNOWN: "the served policy has no agent_policy of the tenant, so approvers are unknown; try again later",
}
"""The error text of each reason."""
