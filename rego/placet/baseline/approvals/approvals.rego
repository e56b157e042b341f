# METADATA
# description: Requires approval for tools (approvals, default_mode, dry_run.waives_approval).
package placet.baseline.approvals

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The tenant's agent_policy requires approval for this tool
# custom:
#   rule_id: approvals.required
require_approval contains finding(rego.metadata.rule(), object.filter(lib.tool.approval, _detail_keys)) if {
	lib.tool.approval_required == true
	lib.tool.approval
	not lib.dry_run_waives_approval
}

# METADATA
# title: The tenant's default_mode is read_only, so a write requires approval
# custom:
#   rule_id: approvals.read_only_mode
require_approval contains finding(rego.metadata.rule(), {"quorum": 1, "approver_roles": []}) if {
	lib.tool.approval_required == true
	not lib.tool.approval
	not lib.dry_run_waives_approval
}

# METADATA
# title: The tenant's agent_policy does not say whether this tool requires approval
# custom:
#   rule_id: approvals.undetermined
deny contains finding(rego.metadata.rule(), {}) if {
	not is_boolean(lib.tool.approval_required)
	lib.tool.class
	not lib.dry_run_waives_approval
}

_detail_keys := {"approver_roles", "distinct_roles", "expires_after_seconds", "quorum"}
