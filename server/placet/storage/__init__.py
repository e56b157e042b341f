"""The ledger: what was decided, durably, in a chain that shows tampering."""
