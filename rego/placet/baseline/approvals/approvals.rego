# METADATA
# description: Requires approval for tools (approvals, default_mode, dry_run.waives_approval).
package placet.baseline.approvals

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The tenant's agent_policy requires approval for this tool
# custom:
#   rule_id: approvals.required
require_approval contains finding(rego.metadata.rule(), object.filter(_approval, _detail_keys)) if {
	lib.approval_required == true
	_approval
}

# METADATA
# title: The tenant's default_mode is read_only, so a write requires approval
# custom:
#   rule_id: approvals.read_only_mode
require_approval contains finding(rego.metadata.rule(), {"quorum": 1, "approver_roles": []}) if {
	lib.approval_required == true
	not _approval
}

# METADATA
# title: The tenant's agent_policy does not say whether this tool requires approval
# custom:
#   rule_id: approvals.undetermined
deny contains finding(rego.metadata.rule(), {}) if {
	not lib.approval_required in [true, false]
	lib.is_listed
}

_detail_keys := {"approver_roles", "distinct_roles", "expires_after_seconds", "quorum"}

_approval := data.tenants[input.identity.tenant].approvals[input.action.tool]
