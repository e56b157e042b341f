"""Calls by the blocking client or by the asyncio client, over either transport, with the same arguments and results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from placet.sdk import Action, Client, Decision, Identity, OutcomeReceipt, Request
from tests.sdk.in_loop import connected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.sdk.defaults import Transport

ACTION = Action("jira.search", {"query": "open"})
IDENTITY = Identity(agent="a", tenant="acme")


@dataclass
class Both:
    """Connects one client for each call. `use_asyncio` and `transport` select the client."""

    address: str
    use_asyncio: bool
    transport: Transport = "unary"

    def authorize(
        self, action: Action = ACTION, identity: Identity = IDENTITY, timeout: float = 10, **keywords: Any
    ) -> Decision:
        with connected(
            Client, self.address, use_asyncio=self.use_asyncio, timeout=timeout, transport=self.transport
        ) as client:
            return client.authorize(action, identity, **keywords)

    def authorize_batch(self, requests: Sequence[Request], **keywords: Any) -> list[Decision]:
        with connected(Client, self.address, use_asyncio=self.use_asyncio, timeout=10) as client:
            return client.authorize_batch(requests, **keywords)

    def report(self, *arguments: Any, **keywords: Any) -> OutcomeReceipt:
        with connected(Client, self.address, use_asyncio=self.use_asyncio, timeout=10) as client:
            return client.report_outcome(*arguments, **keywords)
