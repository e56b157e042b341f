"""What webhooks are told: payload and outbox of deliveries."""
