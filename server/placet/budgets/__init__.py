"""Budgets and run limits: what an action takes, what is reserved and settled, what is left."""
