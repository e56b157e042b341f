# METADATA
# description: |
#   Allows the tools that the tenant lists (allowed_tools, write_tools) and denies all others. No other baseline pack
#   allows anything. A decision has the smallest rule_id of its effect. The ids `tools.*` sort late, so that the more
#   specific allow of a pack such as refunds names the decision.
package placet.baseline.allowlist

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The tool is in the tenant's allowed_tools and requires no approval
# custom:
#   rule_id: tools.listed_read
allow contains finding(rego.metadata.rule(), {}) if {
	lib.tool.class == "read"
	_requires_no_approval
}

# METADATA
# title: The tool is in the tenant's write_tools and requires no approval
# custom:
#   rule_id: tools.listed_write
allow contains finding(rego.metadata.rule(), {}) if {
	lib.tool.class == "write"
	_requires_no_approval
}

# METADATA
# title: The tool is in neither allowed_tools nor write_tools of the tenant's agent_policy
# custom:
#   rule_id: allowlist.unlisted_tool
deny contains finding(rego.metadata.rule(), {}) if {
	not lib.tool.class
	not _canary
}

_requires_no_approval if lib.tool.approval_required == false

_requires_no_approval if lib.dry_run_waives_approval

# The canary belongs to no tenant. The pack `canary` decides about it.
_canary if input.action.tool == "placet.canary"
