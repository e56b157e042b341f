# METADATA
# description: Helpers that every pack uses, so that all packs build findings and read settings in the same way.
package placet.lib

# METADATA
# description: Return a finding with the rule_id and title of a rule's METADATA. `details` is an object.
finding(rule, details) := {"rule_id": rule.custom.rule_id, "reason": rule.title, "details": details}

# METADATA
# description: Return the input's value at a path, or null when there is none.
get_or_null(path) := object.get(input, path, null) # regal ignore:avoid-get-and-list-prefix

# METADATA
# description: |
#   Return a pack's settings: the pack's `defaults`, overridden by `packs.<pack>` of the tenant's agent_policy. Always
#   defined: an empty object when the pack has no defaults.
pack_config(pack) := config if {
	config := data.placet.compiled.packs[input.identity.tenant][pack]
} else := defaults if {
	defaults := data.placet.compiled.defaults[pack]
} else := object.union(data.policy[pack].defaults, overrides) if {
	overrides := data.tenants[input.identity.tenant].packs[pack]
} else := defaults if {
	defaults := data.policy[pack].defaults
} else := {}
