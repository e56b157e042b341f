"""Connections and locks of SQLite and PostgreSQL."""
