"""HTTP servers: policy bundles."""
