"""State: counters, documents with versions, subjects of records, and keys that can be replaced and purged."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from placet.storage.sql.columns import TEXT

revision: str = "0002"
down_revision: str | None = "0001"

_DOCUMENTS: Final = (
    "approvals",
    "reservations",
    "outcomes",
    "kill_switches",
    "autonomy_overrides",
    "breakers",
    "control_requests",
    "control_versions",
    "webhook_outbox",
)
_BROWSED: Final = ("approvals", "kill_switches", "autonomy_overrides", "control_requests")
_WATCHED: Final = sa.column("subject").is_not(None)

_WHEN_DECIDED: Final = """UPDATE idempotency_keys SET decided_at_us = coalesce((
    SELECT recorded_at_us FROM audit_records AS made WHERE made.tenant = idempotency_keys.tenant
    AND made.writer = idempotency_keys.writer AND made.sequence = idempotency_keys.sequence), 0)"""


def upgrade() -> None:
    """Create the tables of state, empty: earlier decisions had no state."""
    _counters()
    for name in _DOCUMENTS:
        _documents(name)
    op.add_column("audit_records", sa.Column("subject", TEXT))
    newest = ["tenant", "subject", "recorded_at_us", "writer", "sequence"]
    _partial("ix_audit_records_subject", "audit_records", newest, _WATCHED)
    _partial("ix_audit_records_watched", "audit_records", ["writer", "sequence"], _WATCHED)
    op.add_column("idempotency_keys", sa.Column("replaced_id", TEXT, nullable=False, server_default=""))
    op.add_column("idempotency_keys", sa.Column("decided_at_us", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(_WHEN_DECIDED)
    op.create_index("ix_idempotency_keys_decided", "idempotency_keys", ["decided_at_us"])


def downgrade() -> None:
    """Drop all state. The trail stays, without the subjects of its records."""
    op.drop_index("ix_idempotency_keys_decided", "idempotency_keys")
    op.drop_column("idempotency_keys", "decided_at_us")
    op.drop_column("idempotency_keys", "replaced_id")
    op.drop_index("ix_audit_records_watched", "audit_records")
    op.drop_index("ix_audit_records_subject", "audit_records")
    op.drop_column("audit_records", "subject")
    for name in (*_DOCUMENTS, "counters"):
        op.drop_table(name)


def _counters() -> None:
    key = ("tenant", "budget_id", "unit", "window_key", "scope_key")
    numbers = ("used", "reserved", "created_at_us", "moved_at_us", "resets_at_us")
    op.create_table(
        "counters",
        *(sa.Column(name, TEXT, nullable=False) for name in key),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in numbers),
        sa.PrimaryKeyConstraint(*key, name="pk_counters"),
    )


def _documents(name: str) -> None:
    op.create_table(
        name,
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("due_at_us", sa.BigInteger),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=f"pk_{name}"),
    )
    if name in _BROWSED:
        op.create_index(f"ix_{name}_listed", name, ["tenant", "status", "created_at_us", "id"])
        op.create_index(f"ix_{name}_newest", name, ["tenant", "created_at_us", "id"])
    _partial(f"ix_{name}_due", name, ["due_at_us"], sa.column("due_at_us").is_not(None))


def _partial(name: str, table: str, columns: list[str], condition: sa.ColumnElement[bool]) -> None:
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
