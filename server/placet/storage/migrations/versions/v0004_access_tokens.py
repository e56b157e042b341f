"""Access tokens, and when they were last used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from placet.storage.sql.columns import TEXT

revision: str = "0004"
down_revision: str | None = "0003"
TABLES = ("access_tokens", "access_token_uses")


def upgrade() -> None:
    """Create the tables, empty."""
    due = sa.column("due_at_us").is_not(None)
    for name in TABLES:
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
        op.create_index(f"ix_{name}_due", name, ["due_at_us"], sqlite_where=due, postgresql_where=due)
    op.create_index("ix_access_tokens_listed", "access_tokens", ["tenant", "status", "created_at_us", "id"])
    op.create_index("ix_access_tokens_newest", "access_tokens", ["tenant", "created_at_us", "id"])


def downgrade() -> None:
    """Drop the tables. Every access token is gone."""
    for name in TABLES:
        op.drop_table(name)
