"""A tenant's file: its document, its checks, and what every decision asks of it."""
