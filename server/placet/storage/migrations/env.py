"""Alembic's entry point: runs the migrations in one transaction on the given connection."""

from __future__ import annotations

from alembic import context

from placet.storage.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
