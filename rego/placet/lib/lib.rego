# METADATA
# description: What every pack uses, so that all of them say and ask the same thing in the same way.
package placet.lib

# METADATA
# description: A finding, with the id and the reason that the rule's METADATA give. `details` is an object.
finding(rule, details) := {"rule_id": rule.custom.rule_id, "reason": rule.title, "details": details}

# METADATA
# description: |
#   What the input says at a path, null where it says nothing.
said(path) := object.get(input, path, null)

# METADATA
# description: |
#   A pack's settings. Its own defaults, with what the tenant's agent_policy says under `packs` laid over. Empty, never
#   undefined, where there are none.
pack_config(pack) := object.union(data.policy[pack].defaults, overrides) if {
	overrides := data.tenants[input.identity.tenant].packs[pack]
} else := defaults if {
	defaults := data.policy[pack].defaults
} else := {}
