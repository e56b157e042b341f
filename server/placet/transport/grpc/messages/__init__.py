"""Protobuf messages to values, and back."""
