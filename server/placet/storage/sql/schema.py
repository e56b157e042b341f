"""The tables. Keys begin with the tenant where rows belong to one, so the same schema can be sharded by tenant.

``audit_writers`` and ``audit_checkpoints`` belong to a writer, because a chain crosses tenants.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
)

from placet.kernel.state import StateTable
from placet.storage.sql.columns import TEXT

HEAD_REVISION: Final = "0005"
"""The newest migration: the schema that this version of Placet reads and writes."""

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

audit_records: Final = Table(
    "audit_records",
    metadata,
    Column("tenant", TEXT, nullable=False),
    Column("writer", TEXT, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    # NULL where empty: partial indexes leave such rows out.
    Column("decision_id", TEXT),
    Column("effect", TEXT),
    Column("rule_id", TEXT),
    Column("tool", TEXT),
    Column("run_id", TEXT),
    Column("user", TEXT),
    Column("agent", TEXT),
    Column("subject", TEXT),
    Column("body", LargeBinary, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "writer", "sequence"),
)

audit_parts: Final = Table(
    "audit_parts",
    metadata,
    Column("tenant", TEXT, nullable=False),
    Column("writer", TEXT, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "writer", "sequence", "name"),
)

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", TEXT, nullable=False),
    Column("caller", TEXT, nullable=False),
    Column("idempotency_key", TEXT, nullable=False),
    Column("request_digest", TEXT, nullable=False),
    Column("decision_id", TEXT, nullable=False),
    Column("writer", TEXT, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("replaced_id", TEXT, nullable=False, server_default=""),
    Column("decided_at_us", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("tenant", "caller", "idempotency_key"),
)
Index("ix_idempotency_keys_decided", idempotency_keys.c.decided_at_us)

audit_writers: Final = Table(
    "audit_writers",
    metadata,
    Column("writer", TEXT, nullable=False),
    Column("head_sequence", BigInteger, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("checkpoint_sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("writer"),
)

audit_checkpoints: Final = Table(
    "audit_checkpoints",
    metadata,
    Column("writer", TEXT, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    PrimaryKeyConstraint("writer", "sequence"),
)

counters: Final = Table(
    "counters",
    metadata,
    Column("tenant", TEXT, nullable=False),
    Column("budget_id", TEXT, nullable=False),
    Column("unit", TEXT, nullable=False),
    Column("window_key", TEXT, nullable=False),
    Column("scope_key", TEXT, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("moved_at_us", BigInteger, nullable=False),
    Column("resets_at_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "budget_id", "unit", "window_key", "scope_key"),
)


BROWSED: Final = (
    StateTable.APPROVALS,
    StateTable.KILL_SWITCHES,
    StateTable.AUTONOMY,
    StateTable.CONTROL_REQUESTS,
    StateTable.ACCESS_TOKENS,
)
"""Tables that people list, by status or entirely. No allowed decision inserts into them, so indexes for it cost
decisions nothing."""


def _rows(kind: StateTable) -> Table:
    """Return a table of documents with versions (see `placet.kernel.state`)."""
    table = Table(
        kind.value,
        metadata,
        Column("tenant", TEXT, nullable=False),
        Column("id", TEXT, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("status", TEXT, nullable=False),
        Column("created_at_us", BigInteger, nullable=False),
        # NULL where nothing is due: a partial index leaves such rows out.
        Column("due_at_us", BigInteger),
        Column("body", LargeBinary, nullable=False),
        PrimaryKeyConstraint("tenant", "id"),
    )
    if kind in BROWSED:
        Index(f"ix_{kind}_listed", *(table.c[name] for name in ("tenant", "status", "created_at_us", "id")))
        Index(f"ix_{kind}_newest", *(table.c[name] for name in ("tenant", "created_at_us", "id")))
    due = table.c.due_at_us.is_not(None)
    Index(f"ix_{kind}_due", table.c.due_at_us, sqlite_where=due, postgresql_where=due)
    return table


rows: Final = {kind: _rows(kind) for kind in StateTable}
"""The table of each kind of row."""


def _index_records(name: str, *after_tenant: str, only_with: str, unique: bool = False) -> None:
    """Index records by tenant and columns. Records without `only_with` take no room in the index."""
    condition = audit_records.c[only_with].is_not(None)
    columns = [audit_records.c[column] for column in ("tenant", *after_tenant)]
    Index(f"ix_audit_records_{name}", *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


NEWEST: Final = ("recorded_at_us", "writer", "sequence")
"""The order of decisions, which lists read backwards."""
CONDITIONS: Final = ("effect", "rule_id", "tool", "run_id", "user", "agent")
"""Columns that a query may filter by."""
SELECTIVE: Final = ("rule_id", "run_id", "user")
"""Conditions with an index. An index costs each single commit one more page, about 10 us (measured)."""
COVERED: Final = ("effect", "tool", "agent")
"""Conditions with few values. They are columns of the index of the newest, where rows that do not match are skipped."""

_index_records("decision_id", "decision_id", only_with="decision_id", unique=True)
_index_records("newest", *NEWEST, *COVERED, only_with="decision_id")
for _condition in SELECTIVE:
    _index_records(_condition, _condition, *NEWEST, only_with=_condition)
_index_records("subject", "subject", *NEWEST, only_with="subject")
Index("ix_audit_records_writer", audit_records.c.writer, audit_records.c.sequence)
_watched: Final = audit_records.c.subject.is_not(None)
Index(
    "ix_audit_records_watched",
    audit_records.c.writer,
    audit_records.c.sequence,
    sqlite_where=_watched,
    postgresql_where=_watched,
)
