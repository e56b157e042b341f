"""Verifies permits: tokens, keys, action digests, uses."""
