"""Identity: who calls, what a caller may do, and which agents, users and people it may name."""
