"""Webhooks: delivers what the outbox holds, at least once, signed, and to no address that was not meant."""
