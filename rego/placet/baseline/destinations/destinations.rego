# METADATA
# description: Restricts the hosts, queues and branches that a tool may reach, by glob (destinations).
package placet.baseline.destinations

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The destination is not allowed for this tool
# custom:
#   rule_id: destinations.not_allowed
deny contains finding(rego.metadata.rule(), {"destination": lib.get_or_null(["action", "destination"])}) if {
	data.tenants[input.identity.tenant].destinations[input.action.tool]
	not _allowed
}

_allowed if {
	is_string(input.action.destination)
	some expression in _expressions
	regex.match(expression, input.action.destination)
}

# Placet translates the patterns when it loads the tenant's file. Other data, such as that of tests, has only patterns.
_expressions := expressions if {
	expressions := data.tenants[input.identity.tenant].destination_expressions[input.action.tool]
} else := {expression |
	some pattern in data.tenants[input.identity.tenant].destinations[input.action.tool]
	expression := lib.glob_regex(pattern, _separators)
}

# `*` does not match these characters, so that "*.example.com" matches none of "a.b.example.com",
# "evil.test/x.example.com" and "me@x.example.com". `**` matches them.
_separators := [".", "/", ":", "@", "?", "#", "\\"]
