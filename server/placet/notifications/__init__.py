"""Webhook events: their payload, and the outbox of deliveries."""
