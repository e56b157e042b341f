"""Evaluates the served policy: by OPA as a child process, or by an external OPA."""
