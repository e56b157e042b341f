"""What receivers of webhooks are told: that the state of an approval changed. No parameters, and nothing sensitive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import orjson

from placet.kernel.clock import rfc3339


class WebhookType(StrEnum):
    """What happened to an approval. Each happens to it once at most in each round: it is reopened before the next."""

    CREATED = "approval.created"
    APPROVED = "approval.approved"
    REJECTED = "approval.rejected"
    EXPIRED = "approval.expired"
    CANCELLED = "approval.cancelled"
    USED = "approval.used"
    REOPENED = "approval.reopened"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One change of an approval. `decision_id` is the decision that asked for it, `state` where it stands now.

    `reopened` is how often it was sent back to wait by then.
    """

    type: WebhookType
    time_us: int
    tenant: str
    approval_id: str
    decision_id: str
    tool: str
    agent: str
    user: str
    state: str
    quorum: int
    expires_at_us: int
    rule_id: str
    reopened: int = 0

    @property
    def id(self) -> str:
        """The same for the same event, e.g. ``apr_0b5e..._approved``: receivers tell repetitions by it."""
        again = f"_{self.reopened + 1}" if self.reopened else ""
        return f"{self.approval_id}_{self.type.rpartition('.')[2]}{again}"


def webhook_payload(event: WebhookEvent) -> bytes:
    """The body of its delivery, JSON."""
    return orjson.dumps(
        {
            "id": event.id,
            "type": event.type,
            "time": rfc3339(event.time_us),
            "tenant": event.tenant,
            "approval_id": event.approval_id,
            "decision_id": event.decision_id,
            "tool": event.tool,
            "agent": event.agent,
            "user": event.user,
            "state": event.state,
            "quorum": event.quorum,
            "expires_at": rfc3339(event.expires_at_us),
            "rule_id": event.rule_id,
        }
    )
