"""Which policy revision is served, held or confirmed."""
