"""A sender with everything round it."""

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
    """Stands until it is moved."""

    now_us: int = NOW_US

    def wall_us(self) -> int:
        return self.now_us

    def monotonic(self) -> float:
        return self.now_us / 1e6

    def forward(self, seconds: float) -> None:
        self.now_us += round(seconds * 1_000_000)


@dataclass
class Bench:
    """A sender to `url`, from `ledger` when there is one, else from `rows`; without chance."""

    url: str
    rows: MemoryRows = field(default_factory=MemoryRows)
    clock: SetClock = field(default_factory=SetClock)
    timeout_seconds: float = TIMEOUT_SECONDS
    allow_private: bool = True
    secrets: str = SECRET
    ledger: Rows | None = None
    more: dict[str, Any] = field(default_factory=dict)
    tried: list[TryReport] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def sender(self) -> WebhookSender:
        target = Target.parse(self.url, allow_private=self.allow_private)
        to = Receiver(target, read_secrets(self.secrets), self.timeout_seconds, **self.more)
        outbox = Outbox(self.ledger or self.rows, self.faults.append)
        return WebhookSender(outbox, to, self.clock, self.tried.append, self.faults.append, lambda: 0.0)

    @property
    def row(self) -> Row:
        [row] = self.rows.rows.values()
        return row
