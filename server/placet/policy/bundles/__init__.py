"""Bundles: what is served, what is cached, and what a new one lost."""
