"""Permits: what is signed for an allow, and how it is revoked."""
