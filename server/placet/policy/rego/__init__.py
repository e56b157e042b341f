"""Rego source: OPA's syntax tree, questions about it, and the guards that keep a deny from vanishing."""
