"""The index from an action to its newest approval request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from placet.storage.sql.columns import TEXT

revision: str = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Create the table, empty. Approvals that are already open are not found by it and may be requested again."""
    op.create_table(
        "approval_index",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("due_at_us", sa.BigInteger),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_approval_index"),
    )
    due = sa.column("due_at_us").is_not(None)
    op.create_index("ix_approval_index_due", "approval_index", ["due_at_us"], sqlite_where=due, postgresql_where=due)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("approval_index")
