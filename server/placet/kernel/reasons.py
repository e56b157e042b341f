"""Why Placet refuses what people and callers ask of its state. Ids never change meaning and are never reused."""

from __future__ import annotations

from typing import Final

NOTHING_WAS_ALLOWED: Final = "NOTHING_WAS_ALLOWED"
SECOND_PERSON_NEEDED: Final = "SECOND_PERSON_NEEDED"
CONCERNED_MAY_NOT_CHANGE: Final = "CONCERNED_MAY_NOT_CHANGE"
AGENT_MAY_NOT_CHANGE: Final = "AGENT_MAY_NOT_CHANGE"
KILL_SWITCHES_FULL: Final = "KILL_SWITCHES_FULL"
AUTONOMY_RULES_FULL: Final = "AUTONOMY_RULES_FULL"
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

VOTE_REFUSALS: Final = frozenset(
    {
        APPROVAL_ENDED,
        APPROVAL_DECIDED,
        APPROVAL_DIFFERS,
        VOTED_ALREADY,
        ROLE_VOTED_ALREADY,
        REQUESTER_MAY_NOT_APPROVE,
        AGENT_MAY_NOT_APPROVE,
        ROLE_MAY_NOT_APPROVE,
        NOT_YOURS_TO_CANCEL,
    }
)
"""Why a vote or withdrawal does not count."""
REFUSALS: Final = {
    NOTHING_WAS_ALLOWED: "the decision allowed nothing, so there is no outcome to report",
    SECOND_PERSON_NEEDED: "you asked for this already; another person has to ask for the same within the hour",
    CONCERNED_MAY_NOT_CHANGE: "this control limits you or a run of yours; another person has to change it",
    AGENT_MAY_NOT_CHANGE: "an agent may not loosen a control; a person has to change it",
    KILL_SWITCHES_FULL: "there are as many kill switches as there may be; set one that covers more, or clear some",
    AUTONOMY_RULES_FULL: "there are as many rules of autonomy as there may be; take some away, or set a wider one",
    EXCESS_DECIDED: "what was held of this outcome was accepted or dropped already",
    BUDGET_BELOW_ZERO: "more would be given back than was used; give back at most what was used",
    APPROVAL_ENDED: "the approval has ended, so nothing counts any longer",
    APPROVAL_DECIDED: "as many people as are needed have approved it already; to stop it, withdraw it",
    APPROVAL_DIFFERS: "the approval is for another action than the one whose action_digest you name; look again",
    VOTED_ALREADY: "you have voted, and a vote counts once",
    ROLE_VOTED_ALREADY: "each vote must come by another role, and yours have voted",
    REQUESTER_MAY_NOT_APPROVE: "nobody decides about what was asked for on their own behalf; you may withdraw it",
    AGENT_MAY_NOT_APPROVE: "the agent that asks, or one that handed the work on, does not decide about it",
    ROLE_MAY_NOT_APPROVE: "none of your roles may decide about this approval",
    NOT_YOURS_TO_CANCEL: "the user on whose behalf it was asked may withdraw it, and who may vote on it",
    APPROVERS_UNKNOWN: "no agent_policy of the tenant is served, so nobody can tell who may decide; try again later",
}
"""One sentence for people to each id."""
