package placet.baseline.approvals_test

import data.placet.baseline.approvals
import data.placet.testing_test as t

_agent_policy := {
	"default_mode": "read_only",
	"allowed_tools": ["crm.read"],
	"write_tools": ["crm.write", "crm.merge"],
	"approvals": {"crm.merge": {"required": true, "quorum": 2, "approver_roles": ["support_lead"]}},
	"dry_run": {"required": [], "waives_approval": ["crm.merge"]},
}

_tenants := {"acme": _agent_policy}

_merging := t.acting({"tool": "crm.merge"})

_writing := t.acting({"tool": "crm.write"})

test_a_tool_that_requires_approval if {
	found := approvals.require_approval with input as _merging with data.tenants as _tenants
	t.ids(found) == {"approvals.required"}
	{finding.details | some finding in found} == {{"quorum": 2, "approver_roles": ["support_lead"]}}
	approvals.deny == set() with input as _merging with data.tenants as _tenants
}

test_the_details_hold_all_keys_of_the_agent_policy if {
	details := {
		"approver_roles": ["finance", "support_lead"],
		"distinct_roles": true,
		"expires_after_seconds": 600,
		"quorum": 2,
	}
	entry := object.union(details, {"required": true})
	patch := [{"op": "replace", "path": "/acme/approvals/crm.merge", "value": entry}]
	found := approvals.require_approval with input as _merging with data.tenants as json.patch(_tenants, patch)
	{finding.details | some finding in found} == {details}
}

test_a_write_in_read_only_mode if {
	found := approvals.require_approval with input as _writing with data.tenants as _tenants
	t.ids(found) == {"approvals.read_only_mode"}
	{finding.details | some finding in found} == {{"quorum": 1, "approver_roles": []}}
}

test_no_approval_is_required[note] if {
	some note, case in {
		"to read": {"input": t.asked, "policy": {}},
		"to write in read_write mode": {"input": _writing, "policy": {"default_mode": "read_write"}},
		"where it says so": {"input": _writing, "policy": {"approvals": {"crm.write": {"required": false}}}},
		"for a dry run that waives it": {"input": t.acting({"tool": "crm.merge", "dry_run": true}), "policy": {}},
	}
	tenants := {"acme": object.union(_agent_policy, case.policy)}
	approvals.require_approval == set() with input as case.input with data.tenants as tenants
	approvals.deny == set() with input as case.input with data.tenants as tenants
}

test_a_dry_run_that_is_missing_waives_nothing[note] if {
	some note, document in t.spoilt(_merging, "/action/dry_run", "boolean")
	t.ids(approvals.require_approval) == {"approvals.required"} with input as document with data.tenants as _tenants
}

# A missing or malformed tool or tenant has no list, so the pack allowlist denies it.
test_an_unlisted_tool_is_left_to_the_allowlist[note] if {
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(_merging, pointer, "string")
	approvals.require_approval == set() with input as document with data.tenants as _tenants
	approvals.deny == set() with input as document with data.tenants as _tenants
}

test_an_agent_policy_that_does_not_say_is_denied[note] if {
	some note, policy in {
		"no such mode": {"default_mode": "sometimes"},
		"a mode that is no text": {"default_mode": true},
		"an entry without a value": {"approvals": {"crm.write": {}}},
		"an entry that is no boolean": {"approvals": {"crm.write": {"required": "no"}}},
	}
	tenants := {"acme": object.union(_agent_policy, policy)}
	t.ids(approvals.deny) == {"approvals.undetermined"} with input as _writing with data.tenants as tenants
	approvals.require_approval == set() with input as _writing with data.tenants as tenants
}

test_a_missing_mode_is_denied if {
	tenants := {"acme": object.remove(_agent_policy, ["default_mode"])}
	t.ids(approvals.deny) == {"approvals.undetermined"} with input as _writing with data.tenants as tenants
}

# The finding stands without a quorum. Placet fills missing details in, or refuses them.
test_an_entry_without_quorum_still_requires_approval if {
	tenants := {"acme": object.union(_agent_policy, {"approvals": {"crm.write": {"required": true}}})}
	found := approvals.require_approval with input as _writing with data.tenants as tenants
	{finding.details | some finding in found} == {{}}
}
