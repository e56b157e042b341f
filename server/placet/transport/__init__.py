"""The protocols over which callers reach Placet."""
