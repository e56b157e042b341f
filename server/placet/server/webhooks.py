"""The webhook sender, put together."""

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
    from placet.server.settings import Settings


def webhook_sender(settings: Settings, ledger: Ledger, clock: Clock, reporter: ServerObserver) -> WebhookSender | None:
    """Who tells the settings' URL of approvals, woken by what is stored; None when there is no URL."""
    if not settings.webhook_url:
        return None
    receiver = Receiver(
        Target.parse(settings.webhook_url, allow_private=settings.webhook_allow_private_networks),
        read_secrets(settings.webhook_secret.get_secret_value()),
        settings.webhook_timeout_ms / 1_000,
    )
    sender = WebhookSender(Outbox(ledger, reporter.fault), receiver, clock, reporter.webhook, reporter.fault)
    ledger.subscribe(sender.wake)
    return sender
