"""Connections to a server: options, retries, streams, forks and errors."""
