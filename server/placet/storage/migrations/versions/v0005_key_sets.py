"""Keys that replicas and workers share, encrypted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from placet.storage.sql.columns import TEXT

revision: str = "0005"
down_revision: str | None = "0004"
TABLE = "key_sets"


def upgrade() -> None:
    """Create the table, empty."""
    due = sa.column("due_at_us").is_not(None)
    op.create_table(
        TABLE,
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("due_at_us", sa.BigInteger),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=f"pk_{TABLE}"),
    )
    op.create_index(f"ix_{TABLE}_due", TABLE, ["due_at_us"], sqlite_where=due, postgresql_where=due)


def downgrade() -> None:
    """Drop the table. Every key in it is gone: permits that they signed verify no longer."""
    op.drop_table(TABLE)
