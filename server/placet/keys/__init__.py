"""Keys in the database: encrypted, shared by replicas and workers, and rotated without a gap."""
