"""The audit trail: records and their parts, the writers' heads, checkpoints, idempotency keys."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from placet.storage.sql.columns import TEXT

revision: str = "0001"
down_revision: str | None = None

_NEWEST: Final = ["recorded_at_us", "writer", "sequence"]
_INDEXES: Final = {
    "newest": ("decision_id", [*_NEWEST, "effect", "tool", "agent"]),
    "rule_id": ("rule_id", ["rule_id", *_NEWEST]),
    "run_id": ("run_id", ["run_id", *_NEWEST]),
    "user": ("user", ["user", *_NEWEST]),
}


def upgrade() -> None:
    """Create the tables of the first version."""
    _records()
    op.create_table(
        "audit_parts",
        *_place(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "writer", "sequence", "name", name="pk_audit_parts"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("caller", TEXT, nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=False),
        sa.Column("request_digest", TEXT, nullable=False),
        sa.Column("decision_id", TEXT, nullable=False),
        sa.Column("writer", TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "caller", "idempotency_key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "audit_writers",
        sa.Column("writer", TEXT, nullable=False),
        sa.Column("head_sequence", sa.BigInteger, nullable=False),
        sa.Column("head_hash", sa.LargeBinary, nullable=False),
        sa.Column("checkpoint_sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_audit_writers"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("writer", TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("writer", "sequence", name="pk_audit_checkpoints"),
    )


def downgrade() -> None:
    """Drop the trail, and with it all evidence."""
    for table in ("audit_checkpoints", "audit_writers", "idempotency_keys", "audit_parts", "audit_records"):
        op.drop_table(table)


def _records() -> None:
    op.create_table(
        "audit_records",
        *_place(),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger, nullable=False),
        *(sa.Column(name, TEXT) for name in ("decision_id", "effect", "rule_id", "tool", "run_id", "user", "agent")),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("previous_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "writer", "sequence", name="pk_audit_records"),
    )
    _index("decision_id", "decision_id", ["decision_id"], unique=True)
    for name, (only_with, columns) in _INDEXES.items():
        _index(name, only_with, columns, unique=False)
    op.create_index("ix_audit_records_writer", "audit_records", ["writer", "sequence"])


def _index(name: str, only_with: str, columns: list[str], *, unique: bool) -> None:
    condition = sa.column(only_with).is_not(None)
    op.create_index(
        f"ix_audit_records_{name}",
        "audit_records",
        ["tenant", *columns],
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _place() -> tuple[sa.Column[str], sa.Column[str], sa.Column[int]]:
    return (
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("writer", TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )
