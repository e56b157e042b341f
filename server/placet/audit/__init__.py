"""The audit trail: its records, the hash chain, the verification of both, and the ledger port."""
