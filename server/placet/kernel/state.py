"""State that changes together with an audit record, and the conditions of such a change.

The ledger stores two kinds of state. A **row** is a document with a version: an approval, a reservation, a kill switch.
A row changes by compare-and-set on the version that was read. A **counter** holds what was used and reserved of a
budget in one scope and window. A counter changes by adding to it, up to a limit. So a budget that every call touches
causes no conflicts.

The capabilities define what the documents mean. The ledger knows only versions, counters and due times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from placet.kernel.limits import SAFE_INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

RATIO_PARTS: Final = 10_000
"""Ratios in facts (`remaining_ratio`, `error_rate`) have four decimals, rounded down."""


class StateTable(StrEnum):
    """The tables of rows. Values are the names of database tables."""

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
    ACCESS_TOKENS = "access_tokens"
    TOKEN_USES = "access_token_uses"  # noqa: S105 - not a secret
    KEY_SETS = "key_sets"


class RowKey(Struct, frozen=True, gc=False, order=True):
    """The key of a row."""

    table: StateTable
    tenant: str
    id: str


class Row(Struct, frozen=True, gc=False):
    """A document as it is stored, or is to be stored."""

    key: RowKey
    status: str
    """What the row is listed by."""
    created_at_us: int
    body: bytes
    """JSON."""
    due_at_us: int = 0
    """When a background task has to process the row; 0 for never."""
    version: int = 0
    """The version that was read; 0 for a row that is not stored yet."""


class CounterKey(NamedTuple):
    """The key of a counter.

    A tuple, not a dataclass, for its hash: a commit looks up each of its counters five times, which took a fifth of its
    time (measured).
    """

    tenant: str
    budget_id: str
    unit: str
    """``calls``, ``tokens``, ``cost`` (micros) or ``amount:<currency>`` (minor units)."""
    window_key: str
    """The window, e.g. one day."""
    scope_key: str
    """The member of the budget's scope, e.g. one user."""


class Usage(Struct, frozen=True, gc=False):
    """The value of a counter, in its unit."""

    used: int = 0
    reserved: int = 0
    created_at_us: int = 0
    """When the counter was first written; 0 before."""


ZERO_USAGE = Usage()
COUNTER_MAX: Final = SAFE_INTEGER_MAX
"""The largest absolute value of a counter, so that no outcome can make later sums overflow."""


class PutIfVersion(Struct, frozen=True, gc=False):
    """Writes the row as its next version. Holds when `row.version` is the stored version."""

    row: Row


class RequireVersion(Struct, frozen=True, gc=False):
    """Writes nothing. Holds when the stored row has this version; 0 requires that there is no row."""

    key: RowKey
    version: int


class Reserve(Struct, frozen=True, gc=False):
    """Adds to what is reserved. Holds when used + reserved + `amount` stays within `limit`."""

    counter: CounterKey
    amount: int
    limit: int | None
    """None for no limit."""
    resets_at_us: int = 0


@dataclass(frozen=True, slots=True)
class Settle:
    """Adds to what is reserved and used; either may be negative. Always holds: values are capped at COUNTER_MAX."""

    counter: CounterKey
    reserved: int
    used: int
    resets_at_us: int = 0


Change = PutIfVersion | RequireVersion | Reserve | Settle


@dataclass(frozen=True, slots=True)
class ReadSet:
    """The keys to read."""

    rows: Sequence[RowKey] = ()
    counters: Sequence[CounterKey] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows and counters that were read. A row that is not stored is missing; such a counter is `ZERO_USAGE`."""

    rows: Mapping[RowKey, Row]
    counters: Mapping[CounterKey, Usage]

    def usage(self, counter: CounterKey) -> Usage:
        """Return the counter's value."""
        return self.counters.get(counter, ZERO_USAGE)


EMPTY_SNAPSHOT = Snapshot({}, {})


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Selects rows of a table, newest first.

    Returns at most PAGE_SIZE_MAX rows at once. It reads all rows of the tenant, except in the tables that people list:
    approvals, kill switches, autonomy, control requests and access tokens.
    """

    table: StateTable
    tenant: str
    """Empty selects the rows that belong to no tenant."""
    status: str = ""
    """Empty selects any status."""
    page_size: int = 50
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class RowPage:
    """A page of rows."""

    rows: tuple[Row, ...]
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True)
class CounterRow:
    """A counter with its key."""

    key: CounterKey
    usage: Usage
    resets_at_us: int
    """When its window ends; 0 for never."""


@dataclass(frozen=True, slots=True)
class WindowTotal:
    """The sum of all counters of a budget in one unit and window."""

    unit: str
    window_key: str
    used: int
    reserved: int
    counters: int
    """How many counters were added up."""
    resets_at_us: int
    """The latest of the counters' ends; 0 for never."""


@dataclass(frozen=True, slots=True)
class Event:
    """A record that can be watched for, because it has a subject."""

    writer: str
    sequence: int
    tenant: str
    kind: str
    subject: str
    """Id of the approval or decision that it is about."""
    body: Mapping[str, object]
    """The parsed body of the record."""


Cursor = Mapping[str, int]
"""Position of a reader in all chains: writer -> sequence. Nothing was read yet of a writer that is missing."""
