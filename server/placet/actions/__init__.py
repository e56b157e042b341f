"""A proposed action: its canonical JSON and digests, checks of its params, and the outcome of its call."""
