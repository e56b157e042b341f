package placet.lib

# METADATA
# description: Deprecated. Use `get_or_null`.
said(path) := get_or_null(path)

# METADATA
# description: Deprecated. Use `is_read_tool`.
reads if is_read_tool

# METADATA
# description: Deprecated. Use `is_write_tool`.
writes if is_write_tool

# METADATA
# description: Deprecated. Use `is_listed`.
listed if is_listed

# METADATA
# description: Deprecated. Use `approval_required`.
person_needed := approval_required # regal ignore:pointless-reassignment
