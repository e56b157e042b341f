"""The schema's history, run by Alembic out of the package: see `placet.storage.migrate`."""
