"""Queues, batches and turns on the event loop. Knows nothing of decisions."""
