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
	lib.tool.destinations
	not _allowed
}

_allowed if {
	is_string(input.action.destination)
	some expression in lib.tool.destinations
	regex.match(expression, input.action.destination)
}
