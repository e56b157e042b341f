"""State that changes together with a record, and what must still hold for it.

The ledger keeps two kinds of state. A **row** is a document with a version: an approval, a reservation, a kill switch.
It is changed by compare-and-set on the version that was read. A **counter** is what was used and reserved of a budget
in one scope and window: it is added to, up to a limit, so that a budget that every call touches makes no conflicts.

What the documents mean is the core's; the ledger knows versions, counters and when something is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from placet.kernel.limits import SAFE_INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

RATIO_PARTS: Final = 10_000
"""Ratios in facts (`remaining_ratio`, `error_rate`) have four decimals, rounded down."""


class StateTable(StrEnum):
    """What rows there are. Each is a table of that name."""

    APPROVALS = "approvals"
    RESERVATIONS = "reservations"
    OUTCOMES = "outcomes"
    KILL_SWITCHES = "kill_switches"
    AUTONOMY = "autonomy_overrides"
    BREAKERS = "breakers"
    CONTROL_REQUESTS = "control_requests"
    CONTROL_VERSIONS = "control_versions"
    WEBHOOK_OUTBOX = "webhook_outbox"
    APPROVAL_INDEX = "approval_index"


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """Where a row stands."""

    table: StateTable
    tenant: str
    id: str


@dataclass(frozen=True, slots=True)
class Row:
    """A document as it is kept, or is to be.

    `version` is the one that was read, 0 for a document that is not there yet. `status` is what it is listed by. At
    `due_at_us` somebody has to look at it; 0 for never. `body` is JSON.
    """

    key: RowKey
    status: str
    created_at_us: int
    body: bytes
    due_at_us: int = 0
    version: int = 0


class CounterKey(NamedTuple):
    """Which counter: of one tenant's budget, in a unit, for one member of its scope, in one window.

    `unit` is ``calls``, ``tokens``, ``cost`` (micros) or ``amount:<currency>`` (minor units). A tuple, not a dataclass,
    for its hash: a commit looks for each of its counters five times, which took a fifth of its time (measured).
    """

    tenant: str
    budget_id: str
    unit: str
    window_key: str
    scope_key: str


@dataclass(frozen=True, slots=True)
class Usage:
    """A counter's state, in its unit. `created_at_us` is when it was first touched, 0 before."""

    used: int = 0
    reserved: int = 0
    created_at_us: int = 0


ZERO_USAGE = Usage()
COUNTER_MAX: Final = SAFE_INTEGER_MAX
"""The most that a counter holds, in either direction, so that no outcome can break what is added up later."""


@dataclass(frozen=True, slots=True)
class PutIfVersion:
    """Write the row as its next version. Holds when `row.version` is still the stored one."""

    row: Row


@dataclass(frozen=True, slots=True)
class RequireVersion:
    """Write nothing. Holds when the row is still at the version, 0 when there must be none."""

    key: RowKey
    version: int


class Reserve(NamedTuple):
    """Add to what is reserved. Holds when used + reserved + `amount` stays within `limit`; None is no limit."""

    counter: CounterKey
    amount: int
    limit: int | None
    resets_at_us: int = 0


@dataclass(frozen=True, slots=True)
class Settle:
    """Add to what is reserved and used; either may be negative. Always holds: past COUNTER_MAX it stays there."""

    counter: CounterKey
    reserved: int
    used: int
    resets_at_us: int = 0


Change = PutIfVersion | RequireVersion | Reserve | Settle


@dataclass(frozen=True, slots=True)
class ReadSet:
    """What to read, by key."""

    rows: Sequence[RowKey] = ()
    counters: Sequence[CounterKey] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read. A row that is not there is missing; a counter that is not there is `ZERO_USAGE`."""

    rows: Mapping[RowKey, Row]
    counters: Mapping[CounterKey, Usage]

    def usage(self, counter: CounterKey) -> Usage:
        """The counter's state."""
        return self.counters.get(counter, ZERO_USAGE)


EMPTY_SNAPSHOT = Snapshot({}, {})


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Rows of a table, newest first. Empty `tenant` means the rows that belong to none; `status` "" any.

    At most PAGE_SIZE_MAX rows come at once. It costs reading all rows of the tenant, but for the tables that people
    look through: approvals, kill switches, autonomy and control requests.
    """

    table: StateTable
    tenant: str
    status: str = ""
    page_size: int = 50
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class RowPage:
    """A page; `next_page_token` is empty on the last."""

    rows: tuple[Row, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class CounterRow:
    """A counter with its key. `resets_at_us` 0 for never."""

    key: CounterKey
    usage: Usage
    resets_at_us: int


@dataclass(frozen=True, slots=True)
class WindowTotal:
    """What all counters of a budget in one unit and window hold together; `counters` is how many there are.

    `resets_at_us` is the latest of theirs, 0 for never.
    """

    unit: str
    window_key: str
    used: int
    reserved: int
    counters: int
    resets_at_us: int


@dataclass(frozen=True, slots=True)
class Event:
    """A record that somebody may watch for: it has a `subject`. `said` is its body."""

    writer: str
    sequence: int
    tenant: str
    kind: str
    subject: str
    said: Mapping[str, object]


Cursor = Mapping[str, int]
"""How far somebody has read: writer -> sequence. A writer that is not in it was not read at all."""
