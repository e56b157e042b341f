"""Who calls a server: its authentication, its issuers of JWTs, and its access tokens."""
