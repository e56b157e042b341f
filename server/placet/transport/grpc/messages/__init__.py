"""Converts protobuf messages to values and back, and validates requests."""
