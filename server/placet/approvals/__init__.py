"""Approvals: people approve or reject one exact action. Its states, its votes, and who may vote."""
