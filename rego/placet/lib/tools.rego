package placet.lib

# METADATA
# description: |
#   The settings of the action's tool, compiled from the tenant's file: `class` (read or write), `approval_required`,
#   `approval`, `destinations`, `evidence`, `environments`, `dry_run_required`, `dry_run_waives_approval`,
#   `params_schema`. Keys that do not restrict the tool are absent; a tool that the tenant does not list has no `class`.
#   `placet policy show` prints them.
tool := settings if {
	settings := data.placet.compiled.tools[input.identity.tenant][input.action.tool]
} else := _tool_in_file

# The same settings from data.tenants, for tools that the tenant does not list and for tests, which have no bundle.
_tool_in_file["class"] := class if {
	input.action.tool in _file.write_tools
	class := "write"
} else := "read" if {
	input.action.tool in _file.allowed_tools
}

default _tool_in_file["approval_required"] := null

_tool_in_file["approval_required"] := required if {
	required := object.get(_file.approvals[input.action.tool], "required", null)
} else := _required_by_mode[_file.default_mode] if {
	_tool_in_file.class == "write"
} else := _required_to_read if {
	_tool_in_file.class == "read"
}

_tool_in_file["approval"] := _file.approvals[input.action.tool]

# Placet translates the patterns when it loads the tenant's file. Other data, such as that of tests, has only patterns.
_tool_in_file["destinations"] := expressions if {
	expressions := _file.destination_expressions[input.action.tool]
} else := {expression |
	some pattern in _file.destinations[input.action.tool]
	expression := glob_regex(pattern, _destination_separators)
} if {
	_file.destinations[input.action.tool]
}

_tool_in_file["evidence"] := _file.evidence[input.action.tool]

_tool_in_file["environments"] := _file.environments.write if _tool_in_file.class == "write"

_tool_in_file["dry_run_required"] if input.action.tool in _file.dry_run.required

_tool_in_file["dry_run_waives_approval"] if input.action.tool in _file.dry_run.waives_approval

_tool_in_file["params_schema"] if _file.tools[input.action.tool].params_schema

_file := data.tenants[input.identity.tenant]

_required_by_mode := {"read_only": true, "read_write": false}

_required_to_read := false

# `*` does not match these characters, so that "*.example.com" matches none of "a.b.example.com",
# "evil.test/x.example.com" and "me@x.example.com". `**` matches them.
_destination_separators := [".", "/", ":", "@", "?", "#", "\\"]

# METADATA
# description: True when the tool is in the tenant's `allowed_tools`.
is_read_tool if tool.class == "read"

# METADATA
# description: True when the tool is in the tenant's `write_tools`.
is_write_tool if tool.class == "write"

# METADATA
# description: True when the tool is in `allowed_tools` or in `write_tools`.
is_listed if tool.class

# METADATA
# description: |
#   True when the action is a dry run and the tenant's `dry_run.waives_approval` lists its tool. Every rule that
#   requires approval checks this first.
dry_run_waives_approval if {
	input.action.dry_run == true
	tool.dry_run_waives_approval
}

# METADATA
# description: |
#   Whether the tenant's agent_policy requires approval for the tool: true, false, or another value when it does not
#   say. Compare it with true or false. `not approval_required` would treat "does not say" as "no".
# scope: document
default approval_required := null

approval_required := false if dry_run_waives_approval

else := tool.approval_required
