"""Access tokens: random credentials that Placet creates, stores as a hash, and revokes."""
