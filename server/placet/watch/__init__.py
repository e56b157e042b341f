"""Streams of what happens to decisions and approvals."""
