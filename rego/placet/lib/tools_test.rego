package placet.lib_test

import data.placet.lib
import data.placet.testing_test as t

_tenants(agent_policy) := {"acme": object.union(
	{
		"default_mode": "read_only",
		"allowed_tools": ["crm.read"],
		"write_tools": ["crm.write"],
		"approvals": {},
		"dry_run": {"required": [], "waives_approval": []},
	},
	agent_policy,
)}

test_is_read_tool if {
	lib.is_read_tool with input as t.asked with data.tenants as _tenants({})
	lib.is_listed with input as t.asked with data.tenants as _tenants({})
	not lib.is_write_tool with input as t.asked with data.tenants as _tenants({})
}

test_is_write_tool if {
	writing := t.acting({"tool": "crm.write"})
	lib.is_write_tool with input as writing with data.tenants as _tenants({})
	lib.is_listed with input as writing with data.tenants as _tenants({})
	not lib.is_read_tool with input as writing with data.tenants as _tenants({})
}

test_unlisted_tool if {
	not lib.is_listed with input as t.acting({"tool": "crm.erase"}) with data.tenants as _tenants({})
}

test_neither_without_tool_or_tenant[note] if {
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(t.asked, pointer, "string")
	not lib.is_listed with input as document with data.tenants as _tenants({})
}

_cases := {
	"reading is free": {"tool": "crm.read", "policy": {}, "required": false},
	"reading is free in read_write": {"tool": "crm.read", "policy": {"default_mode": "read_write"}, "required": false},
	"reading may require approval": {
		"tool": "crm.read",
		"policy": {"approvals": {"crm.read": {"required": true}}},
		"required": true,
	},
	"writing requires approval in read_only": {"tool": "crm.write", "policy": {}, "required": true},
	"unless it says not": {
		"tool": "crm.write",
		"policy": {"approvals": {"crm.write": {"required": false}}},
		"required": false,
	},
	"writing is free in read_write": {"tool": "crm.write", "policy": {"default_mode": "read_write"}, "required": false},
	"unless it says so": {
		"tool": "crm.write",
		"policy": {"default_mode": "read_write", "approvals": {"crm.write": {"required": true}}},
		"required": true,
	},
}

test_approval_required[note] if {
	some note, case in _cases
	required := lib.approval_required with input as t.acting({"tool": case.tool})
		with data.tenants as _tenants(case.policy)
	required == case.required
}

test_approval_required_is_no_boolean_when_the_policy_does_not_say[note] if {
	some note, case in {
		"unlisted tool": {"tool": "crm.erase", "policy": {}},
		"no mode": {"tool": "crm.write", "policy": {"default_mode": "sometimes"}},
		"an entry without a value": {"tool": "crm.read", "policy": {"approvals": {"crm.read": {}}}},
		"an entry of a wrong type": {"tool": "crm.read", "policy": {"approvals": {"crm.read": {"required": "no"}}}},
	}
	required := lib.approval_required with input as t.acting({"tool": case.tool})
		with data.tenants as _tenants(case.policy)
	not required in [true, false]
}

_waiving := _tenants({"dry_run": {"required": [], "waives_approval": ["crm.write"]}})

test_a_dry_run_waives_approval if {
	trying := t.acting({"tool": "crm.write", "dry_run": true})
	lib.dry_run_waives_approval with input as trying with data.tenants as _waiving
	lib.approval_required == false with input as trying with data.tenants as _waiving
}

test_a_dry_run_of_another_tool_waives_nothing if {
	trying := t.acting({"tool": "crm.read", "dry_run": true})
	not lib.dry_run_waives_approval with input as trying with data.tenants as _waiving
}

test_what_is_no_dry_run_waives_nothing if {
	doing := t.acting({"tool": "crm.write"})
	not lib.dry_run_waives_approval with input as doing with data.tenants as _waiving
	lib.approval_required == true with input as doing with data.tenants as _waiving
}

test_a_dry_run_that_is_missing_waives_nothing[note] if {
	trying := t.acting({"tool": "crm.write", "dry_run": true})
	some note, document in t.spoilt(trying, "/action/dry_run", "boolean")
	not lib.dry_run_waives_approval with input as document with data.tenants as _waiving
}

_compiled := {"acme": {"crm.read": {"class": "read", "approval_required": true}}}

# The bundle has the settings of each listed tool. A tool without them is looked up in data.tenants.
test_the_settings_of_the_bundle_come_first if {
	lib.tool == _compiled.acme["crm.read"] with input as t.asked
		with data.placet.compiled.tools as _compiled
		with data.tenants as _tenants({})
	lib.approval_required == true with input as t.asked with data.placet.compiled.tools as _compiled
}

test_a_tool_without_settings_in_the_bundle_is_looked_up[note] if {
	some note, compiled in {"no tenant": {}, "another tenant": {"globex": _compiled.acme}, "another tool": {"acme": {}}}
	lib.tool.class == "read" with input as t.asked
		with data.placet.compiled.tools as compiled
		with data.tenants as _tenants({})
	not lib.is_listed with input as t.asked with data.placet.compiled.tools as compiled with data.tenants as {}
}

test_all_settings_of_a_tool if {
	settings := lib.tool with input as t.acting({"tool": "crm.write"}) with data.tenants as _tenants({
		"approvals": {"crm.write": {"required": true, "quorum": 2}},
		"destinations": {"crm.write": ["*.example"]},
		"dry_run": {"required": ["crm.write"], "waives_approval": ["crm.write"]},
		"environments": {"write": ["staging"]},
		"evidence": {"crm.write": {"min_items": 1}},
		"tools": {"crm.write": {"params_schema": {}}},
	})
	settings == {
		"class": "write",
		"approval": {"required": true, "quorum": 2},
		"approval_required": true,
		"destinations": {lib.glob_regex("*.example", [".", "/", ":", "@", "?", "#", "\\"])},
		"dry_run_required": true,
		"dry_run_waives_approval": true,
		"environments": ["staging"],
		"evidence": {"min_items": 1},
		"params_schema": true,
	}
}

test_settings_that_do_not_say_require_no_boolean if {
	unclear := {"acme": {"crm.read": {"class": "read"}}}
	lib.approval_required == null with input as t.asked with data.placet.compiled.tools as unclear
}
