"""Verification of permits: tokens, keys, action digests and replays."""
