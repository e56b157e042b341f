# METADATA
# description: |
#   Which tools an agent may use at all (allowed_tools, write_tools). No other baseline pack allows anything.
#   A decision is named by the smallest rule_id of its effect. The allows are `tools.*` so that the allow of a pack such
#   as refunds, which says more, comes first.
package placet.baseline.allowlist

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The tool is one that the tenant's agents may read with
# custom:
#   rule_id: tools.listed_read
allow contains finding(rego.metadata.rule(), {}) if {
	lib.reads
	lib.person_needed == false
}

# METADATA
# title: The tool is one that the tenant's agents may write with, and nobody has to agree
# custom:
#   rule_id: tools.listed_write
allow contains finding(rego.metadata.rule(), {}) if {
	lib.writes
	lib.person_needed == false
}

# METADATA
# title: The tool is in neither list of the tenant's agent_policy
# custom:
#   rule_id: allowlist.unlisted_tool
deny contains finding(rego.metadata.rule(), {}) if {
	not lib.reads
	not lib.writes
	not _canary
}

# The canary belongs to no tenant; the pack `canary` answers for it.
_canary if input.action.tool == "placet.canary"
