"""HTTP servers: policy bundles, and the public keys that verify permits."""
