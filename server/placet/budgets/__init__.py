"""Budgets and run limits: the charges of an action, reservations, settlement and what is left."""
