"""Commands that change what agents may do at once: kill switches, autonomy, budgets."""
