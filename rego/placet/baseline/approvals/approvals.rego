# METADATA
# description: Which tools need a person (approvals, default_mode, dry_run.waives_approval).
package placet.baseline.approvals

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The tenant's agent_policy asks for a person's approval of this tool
# custom:
#   rule_id: approvals.required
require_approval contains finding(rego.metadata.rule(), object.filter(_approval, _asked)) if {
	lib.person_needed == true
	_approval
}

# METADATA
# title: The tenant's default mode is read_only, so a write needs a person's approval
# custom:
#   rule_id: approvals.read_only_mode
require_approval contains finding(rego.metadata.rule(), {"quorum": 1, "approver_roles": []}) if {
	lib.person_needed == true
	not _approval
}

# METADATA
# title: The tenant's agent_policy does not say whether this tool needs a person
# custom:
#   rule_id: approvals.undetermined
deny contains finding(rego.metadata.rule(), {}) if {
	not lib.person_needed in [true, false]
	lib.listed
}

_asked := {"approver_roles", "distinct_roles", "expires_after_seconds", "quorum"}

_approval := data.tenants[input.identity.tenant].approvals[input.action.tool]
