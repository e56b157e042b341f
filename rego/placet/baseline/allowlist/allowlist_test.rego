package placet.baseline.allowlist_test

import data.placet.baseline.allowlist
import data.placet.testing_test as t

_tenants := {"acme": {
	"default_mode": "read_only",
	"allowed_tools": ["crm.read", "crm.export"],
	"write_tools": ["crm.write", "crm.merge"],
	"approvals": {"crm.write": {"required": false}, "crm.export": {"required": true}},
	"dry_run": {"required": [], "waives_approval": []},
}}

test_a_read_tool_is_allowed if {
	t.ids(allowlist.allow) == {"tools.listed_read"} with input as t.asked with data.tenants as _tenants
	allowlist.deny == set() with input as t.asked with data.tenants as _tenants
}

test_a_read_tool_that_requires_approval_is_not if {
	allowlist.allow == set() with input as t.acting({"tool": "crm.export"}) with data.tenants as _tenants
}

test_a_write_tool_that_requires_no_approval_is_allowed if {
	writing := t.acting({"tool": "crm.write"})
	t.ids(allowlist.allow) == {"tools.listed_write"} with input as writing with data.tenants as _tenants
	allowlist.deny == set() with input as writing with data.tenants as _tenants
}

test_a_write_tool_that_requires_approval_is_not if {
	allowlist.allow == set() with input as t.acting({"tool": "crm.merge"}) with data.tenants as _tenants
}

test_a_tool_in_neither_list_is_denied[note] if {
	some note, tool in {"another": "crm.erase", "other case": "CRM.read", "longer": "crm.read ", "empty": ""}
	t.ids(allowlist.deny) == {"allowlist.unlisted_tool"} with input as t.acting({"tool": tool})
		with data.tenants as _tenants
	allowlist.allow == set() with input as t.acting({"tool": tool}) with data.tenants as _tenants
}

test_nothing_is_allowed_without_tool_or_tenant[note] if {
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(t.asked, pointer, "string")
	t.ids(allowlist.deny) == {"allowlist.unlisted_tool"} with input as document with data.tenants as _tenants
	allowlist.allow == set() with input as document with data.tenants as _tenants
}

test_a_tenant_without_agent_policy_has_no_tools[note] if {
	some note, tenants in {"none": {}, "another": {"globex": _tenants.acme}, "empty": {"acme": {}}}
	t.ids(allowlist.deny) == {"allowlist.unlisted_tool"} with input as t.asked with data.tenants as tenants
	allowlist.allow == set() with input as t.asked with data.tenants as tenants
}

test_the_canary_is_left_to_its_pack if {
	allowlist.deny == set() with input as t.acting({"tool": "placet.canary"}) with data.tenants as {}
	allowlist.allow == set() with input as t.acting({"tool": "placet.canary"}) with data.tenants as {}
}

test_a_dry_run_that_waives_approval_is_allowed if {
	trying := t.acting({"tool": "crm.merge", "dry_run": true})
	tenants := {"acme": object.union(_tenants.acme, {"dry_run": {"required": [], "waives_approval": ["crm.merge"]}})}
	t.ids(allowlist.allow) == {"tools.listed_write"} with input as trying with data.tenants as tenants
}
