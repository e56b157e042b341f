"""The ledger: stores decisions, state and the audit chain durably, on SQLite or PostgreSQL."""
