"""What calls came to: settles budgets, feeds circuit breakers, expires what nobody reports."""
