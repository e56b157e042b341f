package placet.baseline.dry_run_test

import data.placet.baseline.dry_run
import data.placet.testing_test as t

_tenants := {"acme": {"dry_run": {"required": ["crm.delete"], "waives_approval": []}}}

_trying := t.acting({"tool": "crm.delete", "dry_run": true})

test_trying_is_not_denied if {
	dry_run.deny == set() with input as _trying with data.tenants as _tenants
}

test_doing_is_denied if {
	t.ids(dry_run.deny) == {"dry_run.required"} with input as t.acting({"tool": "crm.delete"})
		with data.tenants as _tenants
}

test_a_dry_run_that_is_missing_is_denied[note] if {
	some note, document in t.spoilt(_trying, "/action/dry_run", "boolean")
	t.ids(dry_run.deny) == {"dry_run.required"} with input as document with data.tenants as _tenants
}

test_other_tools_may_be_used if {
	dry_run.deny == set() with input as t.asked with data.tenants as _tenants
}

# A missing or malformed tool or tenant has no list, so the pack allowlist denies it.
test_an_unlisted_tool_is_left_to_the_allowlist[note] if {
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(t.acting({"tool": "crm.delete"}), pointer, "string")
	dry_run.deny == set() with input as document with data.tenants as _tenants
}
