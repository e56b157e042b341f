"""Queries: decisions, the stored trail, events and the audit log."""
