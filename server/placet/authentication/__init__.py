"""Authentication: proves who calls, by access tokens, JWTs of issuers, or client certificates."""
