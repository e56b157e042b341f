package placet.lib

# METADATA
# description: True when the tool is in the tenant's `allowed_tools`.
is_read_tool if input.action.tool in data.tenants[input.identity.tenant].allowed_tools

# METADATA
# description: True when the tool is in the tenant's `write_tools`.
is_write_tool if input.action.tool in data.tenants[input.identity.tenant].write_tools

# METADATA
# description: True when the tool is in `allowed_tools` or in `write_tools`.
# scope: document
is_listed if is_read_tool

is_listed if is_write_tool

# METADATA
# description: |
#   True when the action is a dry run and the tenant's `dry_run.waives_approval` lists its tool. Every rule that
#   requires approval checks this first.
dry_run_waives_approval if {
	input.action.dry_run == true
	input.action.tool in data.tenants[input.identity.tenant].dry_run.waives_approval
}

# METADATA
# description: |
#   Whether the tenant's agent_policy requires approval for the tool: true, false, or another value when it does not
#   say. Compare it with true or false. `not approval_required` would treat "does not say" as "no".
# scope: document
default approval_required := null

approval_required := false if dry_run_waives_approval

else := object.get(approval, "required", null) if {
	approval := data.tenants[input.identity.tenant].approvals[input.action.tool]
}

else := _required_by_mode[data.tenants[input.identity.tenant].default_mode] if is_write_tool

else := _required_to_read if is_read_tool

_required_by_mode := {"read_only": true, "read_write": false}

_required_to_read := false
