"""Sends webhooks: claims due deliveries, signs and posts them."""
