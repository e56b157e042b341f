"""The schema's history. Alembic runs it from the package: see `placet.storage.migrate`."""
