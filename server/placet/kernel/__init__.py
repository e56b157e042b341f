"""Shared values of all packages: actions, decisions, state, errors, rule ids, limits. Imports nothing of Placet."""
