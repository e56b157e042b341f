"""Build the webhook sender."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.webhooks.outbox import Outbox
from placet.webhooks.sender import Receiver, WebhookSender
from placet.webhooks.signing import read_secrets
from placet.webhooks.target import Target

if TYPE_CHECKING:
    from placet.audit.ports import Ledger
    from placet.kernel.clock import Clock
    from placet.server.observer import ServerObserver
    from placet.server.settings.model import Settings


def build_webhook_sender(
    settings: Settings, ledger: Ledger, clock: Clock, observer: ServerObserver
) -> WebhookSender | None:
    """Return a sender of approval events to webhook_url, which new ledger events wake. None when no URL is set."""
    if not settings.webhook_url:
        return None
    receiver = Receiver(
        Target.parse(settings.webhook_url, allow_private=settings.webhook_allow_private_networks),
        read_secrets(settings.webhook_secret.get_secret_value()),
        settings.webhook_timeout_ms / 1_000,
    )
    sender = WebhookSender(Outbox(ledger, observer.error), receiver, clock, observer.webhook, observer.error)
    ledger.subscribe(sender.wake)
    return sender
