"""What a policy must satisfy before it is served."""
