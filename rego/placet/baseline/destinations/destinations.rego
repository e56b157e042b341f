# METADATA
# description: Where a tool may reach (destinations). Hosts, queues, branches, by glob.
package placet.baseline.destinations

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The destination is not one that this tool may reach
# custom:
#   rule_id: destinations.not_allowed
deny contains finding(rego.metadata.rule(), {"destination": lib.said(["action", "destination"])}) if {
	data.tenants[input.identity.tenant].destinations[input.action.tool]
	not _allowed
}

_allowed if {
	is_string(input.action.destination)
	some expression in _expressions
	regex.match(expression, input.action.destination)
}

# Placet translates the patterns when it loads the tenant's file; data that it did not make has the patterns alone.
_expressions := expressions if {
	expressions := data.tenants[input.identity.tenant].destination_expressions[input.action.tool]
} else := {expression |
	some pattern in data.tenants[input.identity.tenant].destinations[input.action.tool]
	expression := lib.glob_regex(pattern, _separators)
}

# What `*` does not cross, so that "*.example.com" takes neither "a.b.example.com" nor "evil.test/x.example.com" nor
# "me@x.example.com" for one of its hosts. `**` crosses them all.
_separators := [".", "/", ":", "@", "?", "#", "\\"]
