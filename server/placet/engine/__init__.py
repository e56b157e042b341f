"""Has a policy engine evaluate the served policy: OPA as a child, or an external one."""
