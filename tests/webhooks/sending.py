"""A webhook sender and its parts, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from placet.webhooks.outbox import Outbox
from placet.webhooks.sender import Receiver, TryReport, WebhookSender
from placet.webhooks.signing import read_secrets
from placet.webhooks.target import Target
from tests.webhooks.receiving import NOW_US, SECRET, MemoryRows

if TYPE_CHECKING:
    from placet.kernel.state import Row
    from placet.webhooks.outbox import Rows

TIMEOUT_SECONDS = 5.0


@dataclass
class SetClock:
    """A clock that shows what tests set."""

    now_us: int = NOW_US

    def wall_us(self) -> int:
        return self.now_us

    def monotonic(self) -> float:
        return self.now_us / 1e6

    def forward(self, seconds: float) -> None:
        self.now_us += round(seconds * 1_000_000)


@dataclass
class SenderEnv:
    """A sender to `url` of the deliveries in `ledger`, or in `rows` without one. Its waits have no random part."""

    url: str
    rows: MemoryRows = field(default_factory=MemoryRows)
    clock: SetClock = field(default_factory=SetClock)
    timeout_seconds: float = TIMEOUT_SECONDS
    allow_private: bool = True
    secrets: str = SECRET
    ledger: Rows | None = None
    more: dict[str, Any] = field(default_factory=dict)  # arguments of Receiver
    reports: list[TryReport] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def sender(self) -> WebhookSender:
        target = Target.parse(self.url, allow_private=self.allow_private)
        receiver = Receiver(target, read_secrets(self.secrets), self.timeout_seconds, **self.more)
        outbox = Outbox(self.ledger or self.rows, self.errors.append)
        return WebhookSender(outbox, receiver, self.clock, self.reports.append, self.errors.append, lambda: 0.0)

    @property
    def row(self) -> Row:
        [row] = self.rows.rows.values()
        return row
