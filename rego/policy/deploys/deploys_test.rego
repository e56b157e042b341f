package policy.deploys_test

import data.placet.testing_test as t
import data.policy.deploys

_pull_request(base) := t.acting({"tool": "github.open_pull_request", "params": {"base": base, "head": "agent/7/fix"}})

_release := t.acting({
	"tool": "deploy.release",
	"environment": "production",
	"params": {"service": "billing", "version": "1.2.3"},
})

_release_of_web := object.union(_release, {"action": {"params": {"service": "web"}}})

_rehearsal := object.union(_release, {"action": {"environment": "staging"}})

_freezing(window) := {"acme": {"packs": {"deploys": {"freezes": {"audit": window}}}}}

# The input's time is 2026-04-24T18:33:01.123456Z.
_tenants := _freezing({
	"from": "2026-04-24T00:00:00Z",
	"until": "2026-04-25T00:00:00Z",
	"services": ["billing", "ledger"],
})

_all(document, tenants) := found if {
	found := t.ids(deploys.deny | deploys.require_approval) with input as document with data.tenants as tenants
}

test_an_open_branch_needs_no_approval[note] if {
	some note, base in {"a feature's": "feature/x", "an agent's": "agent/7/fix"}
	_all(_pull_request(base), {}) == set()
}

test_a_protected_branch_needs_a_code_owner[note] if {
	some note, base in {
		"main": "main",
		"main in full": "refs/heads/main",
		"another": "release/1.2",
		"alike": "xfeature/x",
		"other case": "Feature/x",
		"none": "",
	}
	_all(_pull_request(base), {}) == {"deploys.protected_branch"}
	found := deploys.require_approval with input as _pull_request(base) with data.tenants as {}
	{finding.details | some finding in found} == {{"approver_roles": ["code_owner"], "quorum": 1}}
}

test_a_missing_or_wrong_branch_needs_a_code_owner[note] if {
	some case in [["/action/params", "object"], ["/action/params/base", "string"]]
	some note, document in t.spoilt(_pull_request("feature/x"), case[0], case[1])
	_all(document, {}) == {"deploys.protected_branch"}
}

test_production_requires_approval[note] if {
	some note, environment in {"production": "production", "unknown": "prod-eu", "other case": "Staging", "none": ""}
	document := object.union(_release, {"action": {"environment": environment}})
	_all(document, {}) == {"deploys.production"}
	found := deploys.require_approval with input as document with data.tenants as {}
	{finding.details | some finding in found} == {{"approver_roles": ["release_manager"], "quorum": 1}}
}

test_a_rehearsal_needs_no_approval_also_in_a_freeze[note] if {
	some note, environment in {"staging": "staging", "development": "development"}
	_all(object.union(_release, {"action": {"environment": environment}}), _tenants) == set()
}

test_a_missing_or_wrong_environment_is_production[note] if {
	some note, document in t.spoilt(_rehearsal, "/action/environment", "string")
	_all(document, _tenants) == {"deploys.production", "deploys.freeze"}
}

test_a_freeze[note] if {
	some note, case in {
		"before": {"now": "2026-04-23T23:59:59.999999Z", "denied": false},
		"its first instant": {"now": "2026-04-24T00:00:00.000000Z", "denied": true},
		"within": {"now": "2026-04-24T18:33:01.123456Z", "denied": true},
		"its last instant": {"now": "2026-04-24T23:59:59.999999Z", "denied": true},
		"after": {"now": "2026-04-25T00:00:00.000000Z", "denied": false},
		"in another zone": {"now": "2026-04-24T23:30:00.000000-01:00", "denied": false},
	}
	denied := deploys.deny with input as object.union(_release, {"now": case.now}) with data.tenants as _tenants
	t.ids(denied) == {"deploys.freeze"} == case.denied
}

test_the_freeze_is_in_the_details if {
	found := deploys.deny with input as _release with data.tenants as _tenants
	{finding.details | some finding in found} == {{"freeze": "audit", "now": "2026-04-24T18:33:01.123456Z"}}
}

test_a_time_that_is_missing_or_wrong_is_in_every_freeze[note] if {
	some note, document in t.spoilt(_release, "/now", "")
	found := deploys.deny with input as document with data.tenants as _tenants
	{finding.details.freeze | some finding in found} == {"audit", "year_end"}
}

test_a_freeze_is_of_the_services_that_it_names[note] if {
	some note, service in {"another": "web", "of a team": "web/shop-2", "longer": "billing-api", "shorter": "bill"}
	document := object.union(_release, {"action": {"params": {"service": service}}})
	deploys.deny == set() with input as document with data.tenants as _tenants
}

test_a_freeze_is_of_the_service_however_it_is_spelled[note] if {
	some note, service in {
		"other case": "Billing",
		"capitals": "BILLING",
		"a blank after it": "billing ",
		"blanks of other kinds": "\t\u00a0billing\n",
		"a letter that looks alike": "b\u0456lling",
		"a letter that cannot be seen": "bil\u200bling",
		"full width": "\uff42illing",
		"a path": "./billing",
		"a slash": "billing/",
		"quoted": "'billing'",
		"encoded": "billin%67",
		"none": "",
		"blanks": "  ",
	}
	document := object.union(_release, {"action": {"params": {"service": service}}})
	t.ids(deploys.deny) == {"deploys.freeze"} with input as document with data.tenants as _tenants
}

test_a_freeze_names_services_in_any_spelling[note] if {
	some note, name in {"as they are": "billing", "other case": "Billing", "with blanks": " billing "}
	window := {"from": "2026-04-24T00:00:00Z", "until": "2026-04-25T00:00:00Z", "services": [name, "ledger"]}
	t.ids(deploys.deny) == {"deploys.freeze"} with input as _release with data.tenants as _freezing(window)
	deploys.deny == set() with input as _release_of_web with data.tenants as _freezing(window)
}

test_a_freeze_of_what_is_no_name_is_of_all if {
	window := {"from": "2026-04-24T00:00:00Z", "until": "2026-04-25T00:00:00Z", "services": [7, "web"]}
	t.ids(deploys.deny) == {"deploys.freeze"} with input as _release with data.tenants as _freezing(window)
}

test_a_service_that_is_missing_or_wrong_is_concerned[note] if {
	some case in [["/action/params", "object"], ["/action/params/service", "string"]]
	some note, document in t.spoilt(_release, case[0], case[1])
	t.ids(deploys.deny) == {"deploys.freeze"} with input as document with data.tenants as _tenants
}

test_a_freeze_that_names_no_services_is_of_all[note] if {
	some note, services in {"none": [], "null": null, "text": "web", "object": {"x": "web"}}
	window := {"from": "2026-04-24T00:00:00Z", "until": "2026-04-25T00:00:00Z", "services": services}
	t.ids(deploys.deny) == {"deploys.freeze"} with input as _release with data.tenants as _freezing(window)
}

test_a_freeze_that_cannot_be_read_is_one[note] if {
	some note, window in {
		"without an end": {"from": "2020-01-01T00:00:00Z"},
		"without a beginning": {"until": "2099-01-01T00:00:00Z"},
		"without either": {},
	}
	t.ids(deploys.deny) == {"deploys.freeze"} with input as _release with data.tenants as _freezing(window)
}

test_a_dry_run_may_waive_approval[note] if {
	tenants := {"acme": {"dry_run": {"waives_approval": ["github.open_pull_request", "deploy.release"]}}}
	some note, document in {"a pull request": _pull_request("main"), "a release": _release}
	trying := object.union(document, {"action": {"dry_run": true}})
	deploys.require_approval == set() with input as trying with data.tenants as tenants
	count(deploys.require_approval) == 1 with input as trying with data.tenants as {}
}

test_missing_settings_allow_nothing[note] if {
	some note, case in {
		"a pull request": {"input": _pull_request("feature/x"), "found": {"deploys.protected_branch"}},
		"a release": {"input": _rehearsal, "found": {"deploys.production"}},
	}
	t.ids(deploys.require_approval) == case.found with input as case.input
		with data.tenants as {}
		with deploys.defaults as {}
}

test_a_tenant_that_cannot_be_read_has_the_defaults[note] if {
	some note, document in t.spoilt(_release, "/identity/tenant", "string")
	_all(document, _tenants) == {"deploys.production"}
}

# A missing or malformed tool is in no list, so the pack allowlist denies it.
test_other_tools_deploy_nothing[note] if {
	some note, document in t.spoilt(_release, "/action/tool", "")
	_all(document, _tenants) == set()
}
