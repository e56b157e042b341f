"""The policy folder as it is read: tree, strict YAML, tenants' files, archives."""
