"""The payload of webhooks: a change of an approval's state, without parameters and sensitive values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import orjson

from placet.kernel.clock import rfc3339


class WebhookType(StrEnum):
    """The types of webhook events. An approval has each at most once, until it is reopened."""

    CREATED = "approval.created"
    APPROVED = "approval.approved"
    REJECTED = "approval.rejected"
    EXPIRED = "approval.expired"
    CANCELLED = "approval.cancelled"
    USED = "approval.used"
    REOPENED = "approval.reopened"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One change of an approval."""

    type: WebhookType
    time_us: int
    tenant: str
    approval_id: str
    decision_id: str
    """The require_approval decision that opened the approval."""
    tool: str
    agent: str
    user: str
    state: str
    """The state after the change."""
    quorum: int
    expires_at_us: int
    rule_id: str
    reopened: int = 0
    """How often the approval was reopened so far."""

    @property
    def id(self) -> str:
        """The id, such as ``apr_0b5e..._approved``. Receivers recognise a repeated event by it."""
        suffix = f"_{self.reopened + 1}" if self.reopened else ""
        return f"{self.approval_id}_{self.type.rpartition('.')[2]}{suffix}"


def webhook_payload(event: WebhookEvent) -> bytes:
    """Return the JSON body to send for the event."""
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
