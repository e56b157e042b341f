"""Policy: read it, check it, bundle it, and have real OPA evaluate it."""
