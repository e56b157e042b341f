"""Finds and redacts sensitive values."""
