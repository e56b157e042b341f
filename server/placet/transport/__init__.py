"""How callers reach Placet."""
