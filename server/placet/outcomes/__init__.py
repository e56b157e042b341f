"""Outcomes of calls: settles budgets, feeds circuit breakers, expires unreported reservations."""
