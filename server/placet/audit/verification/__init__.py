"""Verifies the audit trail: chains, checkpoints, parts, idempotency keys, and the state that the records describe."""
