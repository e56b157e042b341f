package policy.refunds_test

import data.placet.testing_test as t
import data.policy.refunds

_refund(currency_code, minor_units) := object.union(
	t.acting({
		"tool": "stripe.refund",
		"params": {"charge": "ch_1"},
		"amount": {"currency_code": currency_code, "minor_units": minor_units},
	}),
	{"identity": {"roles": ["support_refunds"]}},
)

# 45.00 USD
_small := _refund("USD", 4500)

_all(document) := t.ids(found) if {
	found := (refunds.deny | refunds.require_approval) | refunds.allow with input as document
		with data.tenants as {}
}

test_the_gate[note] if {
	some note, case in {
		"0.01": {"minor_units": 1, "found": {"refunds.within_limit"}},
		"99.99": {"minor_units": 9999, "found": {"refunds.within_limit"}},
		"100.00 exactly": {"minor_units": 10000, "found": {"refunds.within_limit"}},
		"100.01": {"minor_units": 10001, "found": {"refunds.over_limit"}},
		"900.00": {"minor_units": 90000, "found": {"refunds.over_limit"}},
		"1000.00 exactly": {"minor_units": 100000, "found": {"refunds.over_limit"}},
		"1000.01": {"minor_units": 100001, "found": {"refunds.over_limit", "refunds.over_two_person_limit"}},
		"a huge one": {"minor_units": 9007199254740991, "found": {"refunds.over_limit", "refunds.over_two_person_limit"}},
	}
	_all(_refund("USD", case.minor_units)) == case.found
}

test_quorum_and_roles[note] if {
	some note, case in {"one": {"minor_units": 10001, "quorums": {1}}, "two": {"minor_units": 100001, "quorums": {1, 2}}}
	found := refunds.require_approval with input as _refund("USD", case.minor_units) with data.tenants as {}
	{finding.details.quorum | some finding in found} == case.quorums
	{finding.details.approver_roles | some finding in found} == {["support_lead"]}
}

test_without_the_role_it_is_denied[note] if {
	some note, roles in {
		"none": [],
		"another": ["support"],
		"other case": ["Support_Refunds"],
		"longer": ["support_refunds2"],
	}
	document := json.patch(_small, [{"op": "replace", "path": "/identity/roles", "value": roles}])
	_all(document) == {"refunds.insufficient_privilege"}
}

test_without_the_role_and_over_the_limit_both_are_found if {
	document := json.patch(_refund("USD", 10001), [{"op": "replace", "path": "/identity/roles", "value": []}])
	_all(document) == {"refunds.insufficient_privilege", "refunds.over_limit"}
}

test_roles_that_are_no_list_of_texts_are_denied[note] if {
	some case in [["/identity", "object"], ["/identity/roles", "array"], ["/identity/roles/0", "string"]]
	some note, document in t.spoilt(_small, case[0], case[1])
	_all(document) == {"refunds.insufficient_privilege"}
}

# `in` also searches the values of an object.
test_roles_that_are_an_object_are_denied if {
	value := {"x": "support_refunds"}
	document := json.patch(_small, [{"op": "replace", "path": "/identity/roles", "value": value}])
	_all(document) == {"refunds.insufficient_privilege"}
}

test_a_missing_or_wrong_amount_is_denied[note] if {
	some note, document in t.spoilt(_small, "/action/amount", "object")
	_all(document) == {"refunds.amount_missing", "refunds.unknown_currency"}
}

# "5" > 100 is true, null > 100 is false, and a comparison with a missing field is undefined.
test_missing_or_wrong_minor_units_are_denied[note] if {
	some note, document in t.spoilt(_small, "/action/amount/minor_units", "number")
	_all(document) == {"refunds.amount_missing"}
}

test_a_refund_of_nothing_is_denied[note] if {
	some note, minor_units in {"zero": 0, "negative": -4500}
	_all(_refund("USD", minor_units)) == {"refunds.amount_missing"}
}

test_a_missing_or_wrong_currency_is_denied[note] if {
	some note, document in t.spoilt(_small, "/action/amount/currency_code", "string")
	_all(document) == {"refunds.unknown_currency"}
}

test_an_unknown_currency_is_denied[note] if {
	some note, currency_code in {"another": "EUR", "other case": "usd", "none": ""}
	_all(_refund(currency_code, 4500)) == {"refunds.unknown_currency"}
}

test_the_amount_is_in_the_details if {
	found := refunds.deny with input as _refund("XAU", 4500) with data.tenants as {}
	{finding.details | some finding in found} == {{"amount": {"currency_code": "XAU", "minor_units": 4500}}}
}

test_a_dry_run_may_waive_approval[note] if {
	tenants := {"acme": {"dry_run": {"waives_approval": ["stripe.refund"]}}}
	some note, case in {"a dry run": {"dry_run": true, "asked": 0}, "no dry run": {"dry_run": false, "asked": 2}}
	document := json.patch(_refund("USD", 100001), [{"op": "replace", "path": "/action/dry_run", "value": case.dry_run}])
	count(refunds.require_approval) == case.asked with input as document with data.tenants as tenants
	refunds.allow == set() with input as document with data.tenants as tenants
}

test_a_tenant_sets_its_own_limits[note] if {
	own := {"currencies": {"EUR": {"approval_over_minor_units": 50, "two_approvals_over_minor_units": 60}}}
	tenants := {"acme": {"packs": {"refunds": own}}}
	some note, case in {
		"within its limit": {"refund": _refund("EUR", 50), "asked": 0},
		"over its limit": {"refund": _refund("EUR", 51), "asked": 1},
		"the default's": {"refund": _refund("USD", 10000), "asked": 0},
	}
	refunds.deny == set() with input as case.refund with data.tenants as tenants
	count(refunds.require_approval) == case.asked with input as case.refund with data.tenants as tenants
}

test_limits_that_are_no_numbers_are_none[note] if {
	some note, limits in {
		"null": {"approval_over_minor_units": null, "two_approvals_over_minor_units": null},
		"text": {"approval_over_minor_units": "5", "two_approvals_over_minor_units": 100000},
		"only one": {"approval_over_minor_units": 10000},
	}
	tenants := {"acme": {"packs": {"refunds": {"currencies": {"EUR": limits}}}}}
	t.ids(refunds.deny) == {"refunds.unknown_currency"} with input as _refund("EUR", 4500) with data.tenants as tenants
	refunds.allow == set() with input as _refund("EUR", 4500) with data.tenants as tenants
}

test_missing_settings_allow_nothing if {
	without_role := object.remove(refunds.defaults, ["role"])
	t.ids(refunds.deny) == {"refunds.insufficient_privilege"} with input as _small
		with data.tenants as {}
		with refunds.defaults as without_role
	without_approvers := object.remove(refunds.defaults, ["approver_roles"])
	t.ids(refunds.require_approval) == {"refunds.over_limit"} with input as _refund("USD", 10001)
		with data.tenants as {}
		with refunds.defaults as without_approvers
	t.ids(refunds.deny) == {"refunds.insufficient_privilege", "refunds.unknown_currency"} with input as _small
		with data.tenants as {}
		with refunds.defaults as {}
}

test_a_tenant_that_cannot_be_read_has_the_defaults[note] if {
	some note, document in t.spoilt(_refund("USD", 10001), "/identity/tenant", "string")
	_all(document) == {"refunds.over_limit"}
}

# A missing or malformed tool is in no list, so the pack allowlist denies it.
test_other_tools_are_no_refunds[note] if {
	some what, document in {"small": _small, "large": _refund("USD", 100001), "wrong": _refund("XAU", 0)}
	some roles in [[], ["support_refunds"]]
	changed := json.patch(document, [{"op": "replace", "path": "/identity/roles", "value": roles}])
	some how, other in t.spoilt(changed, "/action/tool", "")
	note := sprintf("%s, %v, %s", [what, roles, how])
	_all(other) == set()
}
