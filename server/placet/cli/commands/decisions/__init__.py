"""Commands that ask for decisions, vote on approvals and report outcomes."""
