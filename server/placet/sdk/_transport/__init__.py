"""How a client reaches a server: connections, tries, streams, errors."""
