# METADATA
# description: |
#   Refunds require a role and a currency with limits. Above one limit they require one approval, above another two.
#   Amounts are integer minor units: 10000 is 100.00 USD. Settings: data.yaml beside this file, overridden by
#   `packs.refunds` of a tenant.
package policy.refunds

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The user lacks the role that refunds require (insufficient privilege)
# custom:
#   rule_id: refunds.insufficient_privilege
deny contains finding(rego.metadata.rule(), {"role": _role}) if {
	input.action.tool == "stripe.refund"
	not _privileged
}

# METADATA
# title: A refund must state an amount above zero
# custom:
#   rule_id: refunds.amount_missing
deny contains finding(rego.metadata.rule(), {"amount": lib.get_or_null(["action", "amount"])}) if {
	input.action.tool == "stripe.refund"
	not _minor_units
}

# METADATA
# title: No refund limit is configured for this currency
# custom:
#   rule_id: refunds.unknown_currency
deny contains finding(rego.metadata.rule(), {"amount": lib.get_or_null(["action", "amount"])}) if {
	input.action.tool == "stripe.refund"
	not _limits
}

# METADATA
# title: A refund above the automatic limit requires approval
# custom:
#   rule_id: refunds.over_limit
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _approver_roles, "quorum": 1}) if {
	input.action.tool == "stripe.refund"
	_minor_units > _limits.approval_over_minor_units
	not lib.dry_run_waives_approval
}

# METADATA
# title: A refund of this size requires two approvals
# custom:
#   rule_id: refunds.over_two_person_limit
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _approver_roles, "quorum": 2}) if {
	input.action.tool == "stripe.refund"
	_minor_units > _limits.two_approvals_over_minor_units
	not lib.dry_run_waives_approval
}

# METADATA
# title: The refund is within the automatic limit and the user has the role for refunds
# custom:
#   rule_id: refunds.within_limit
allow contains finding(rego.metadata.rule(), {}) if {
	input.action.tool == "stripe.refund"
	_privileged
	_minor_units <= _limits.approval_over_minor_units
}

_config := lib.pack_config("refunds")

# Null when it is not set, as in all details that are undefined.
_role := object.get(_config, "role", null)

_approver_roles := object.get(_config, "approver_roles", null)

_privileged if {
	is_array(input.identity.roles)
	_config.role in input.identity.roles
}

# Fail closed: _minor_units and _limits are undefined unless they are numbers, and then a rule above denies. Comparing
# mixed types would not fail: "5" > 100 is true, null > 100 is false.
_minor_units := minor_units if {
	minor_units := input.action.amount.minor_units
	is_number(minor_units)
	minor_units > 0
}

_limits := limits if {
	limits := _config.currencies[input.action.amount.currency_code]
	is_number(limits.approval_over_minor_units)
	is_number(limits.two_approvals_over_minor_units)
}
