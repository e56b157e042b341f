# METADATA
# description: |
#   Refunds: only by those who may, only in a known currency, above a limit with a person, far above it with two.
#   Amounts are integer minor units (10000 is 100.00 USD). Settings: data.yaml beside this file, `packs.refunds` of a
#   tenant.
package policy.refunds

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The user may not refund, the role is missing (insufficient privilege)
# custom:
#   rule_id: refunds.insufficient_privilege
deny contains finding(rego.metadata.rule(), {"role": _role}) if {
	input.action.tool == "stripe.refund"
	not _privileged
}

# METADATA
# title: A refund must say how much money it moves
# custom:
#   rule_id: refunds.amount_missing
deny contains finding(rego.metadata.rule(), {"amount": lib.said(["action", "amount"])}) if {
	input.action.tool == "stripe.refund"
	not _minor_units
}

# METADATA
# title: There is no limit for refunds in this currency
# custom:
#   rule_id: refunds.unknown_currency
deny contains finding(rego.metadata.rule(), {"amount": lib.said(["action", "amount"])}) if {
	input.action.tool == "stripe.refund"
	not _limits
}

# METADATA
# title: A refund above the automatic limit needs a person
# custom:
#   rule_id: refunds.over_limit
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _approver_roles, "quorum": 1}) if {
	input.action.tool == "stripe.refund"
	_minor_units > _limits.approval_over_minor_units
	not lib.dry_run_waives_approval
}

# METADATA
# title: A refund of this size needs two persons
# custom:
#   rule_id: refunds.over_two_person_limit
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _approver_roles, "quorum": 2}) if {
	input.action.tool == "stripe.refund"
	_minor_units > _limits.two_approvals_over_minor_units
	not lib.dry_run_waives_approval
}

# METADATA
# title: A refund within the automatic limit, by a user who may refund
# custom:
#   rule_id: refunds.within_limit
allow contains finding(rego.metadata.rule(), {}) if {
	input.action.tool == "stripe.refund"
	_privileged
	_minor_units <= _limits.approval_over_minor_units
}

_config := lib.pack_config("refunds")

# Null where it is not set, as details tell whatever is undefined.
_role := object.get(_config, "role", null)

_approver_roles := object.get(_config, "approver_roles", null)

_privileged if {
	is_array(input.identity.roles)
	_config.role in input.identity.roles
}

# Each of the two is a number that can be compared, or it is undefined and a rule above denies. A comparison of mixed
# types would not fail: "5" > 100 is true, null > 100 is false.
_minor_units := input.action.amount.minor_units if {
	is_number(input.action.amount.minor_units)
	input.action.amount.minor_units > 0
}

_limits := limits if {
	limits := _config.currencies[input.action.amount.currency_code]
	is_number(limits.approval_over_minor_units)
	is_number(limits.two_approvals_over_minor_units)
}
