"""The decision: from a parsed request to a recorded answer. Start with `pipeline`."""
