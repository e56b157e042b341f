"""Autonomy: the level up to which agents act without a person."""
