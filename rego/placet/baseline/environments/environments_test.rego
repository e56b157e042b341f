package placet.baseline.environments_test

import data.placet.baseline.environments
import data.placet.testing_test as t

_agent_policy := {
	"allowed_tools": ["crm.read"],
	"write_tools": ["crm.write"],
	"environments": {"write": ["sandbox", "staging"]},
}

_tenants := {"acme": _agent_policy}

_writing := t.acting({"tool": "crm.write", "environment": "sandbox"})

test_an_environment_that_is_named if {
	environments.deny == set() with input as _writing with data.tenants as _tenants
}

test_an_environment_that_is_not[note] if {
	some note, name in {"another": "production", "other case": "Sandbox", "padded": " sandbox", "none": ""}
	found := environments.deny with input as t.acting({"tool": "crm.write", "environment": name})
		with data.tenants as _tenants
	t.ids(found) == {"environments.not_writable"}
	{finding.details | some finding in found} == {{"environment": name}}
}

test_an_environment_that_is_no_text_is_denied[note] if {
	some note, document in t.spoilt(_writing, "/action/environment", "string")
	t.ids(environments.deny) == {"environments.not_writable"} with input as document with data.tenants as _tenants
}

test_reading_is_not_restricted if {
	environments.deny == set() with input as t.acting({"environment": "production"}) with data.tenants as _tenants
}

test_a_tenant_without_the_key_does_not_restrict if {
	anywhere := {"acme": object.union(object.remove(_agent_policy, ["environments"]), {"environments": {}})}
	environments.deny == set() with input as t.acting({"tool": "crm.write"}) with data.tenants as anywhere
}

# A missing or malformed tool or tenant has no list, so the pack allowlist denies it.
test_an_unlisted_tool_is_left_to_the_allowlist[note] if {
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(t.acting({"tool": "crm.write"}), pointer, "string")
	environments.deny == set() with input as document with data.tenants as _tenants
}
