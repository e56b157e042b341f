"""Placet: a policy decision point for what AI agents do."""
