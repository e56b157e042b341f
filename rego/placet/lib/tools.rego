package placet.lib

# METADATA
# description: The tool is one that the tenant's agents read with.
reads if input.action.tool in data.tenants[input.identity.tenant].allowed_tools

# METADATA
# description: The tool is one that the tenant's agents write with.
writes if input.action.tool in data.tenants[input.identity.tenant].write_tools

# METADATA
# description: The tool is in one of the two lists.
# scope: document
listed if reads

listed if writes

# METADATA
# description: It is a dry run of a tool that needs nobody for one. Every rule that requires approval asks this.
dry_run_waives_approval if {
	input.action.dry_run == true
	input.action.tool in data.tenants[input.identity.tenant].dry_run.waives_approval
}

# METADATA
# description: |
#   Whether the agent_policy wants a person for this tool. Null, or what it wrongly says, when it says neither true nor
#   false. So compare it with true or false; `not person_needed` would take "does not say" for "no".
# scope: document
default person_needed := null

person_needed := false if dry_run_waives_approval

else := object.get(approval, "required", null) if {
	approval := data.tenants[input.identity.tenant].approvals[input.action.tool]
}

else := _needed_by_mode[data.tenants[input.identity.tenant].default_mode] if writes

else := _needed_to_read if reads

_needed_by_mode := {"read_only": true, "read_write": false}

_needed_to_read := false
