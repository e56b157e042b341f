"""Signing keys on disk, and the checkpoints and newest records that are pinned beside them."""
