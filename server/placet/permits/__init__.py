"""Permits: the signed claims of an allow, and their revocation."""
