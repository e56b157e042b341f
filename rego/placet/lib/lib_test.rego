package placet.lib_test

import data.placet.lib
import data.placet.testing_test as t

test_finding_takes_id_and_reason_from_the_metadata if {
	found := lib.finding({"title": "Because", "custom": {"rule_id": "a.one"}}, {"x": 1})
	found == {"rule_id": "a.one", "reason": "Because", "details": {"x": 1}}
}

test_get_or_null if {
	lib.get_or_null(["action", "tool"]) == "crm.read" with input as t.asked
}

test_get_or_null_of_a_missing_path_is_null[note] if {
	some note, document in {"missing": {}, "not an object": {"action": 7}}
	lib.get_or_null(["action", "tool"]) == null with input as document
}

_defaults := {"limits": {"USD": 100, "EUR": 90}, "role": "support"}

test_pack_config_is_the_defaults[note] if {
	some note, tenants in {
		"no tenants": {},
		"another tenant": {"globex": {"packs": {"p": {"role": "boss"}}}},
		"no packs": {"acme": {}},
		"another pack": {"acme": {"packs": {"q": {"role": "boss"}}}},
	}
	lib.pack_config("p") == _defaults with input as t.asked
		with data.policy as {"p": {"defaults": _defaults}}
		with data.tenants as tenants
}

test_pack_config_lays_the_tenants_settings_over if {
	config := lib.pack_config("p") with input as t.asked
		with data.policy as {"p": {"defaults": _defaults}}
		with data.tenants as {"acme": {"packs": {"p": {"limits": {"USD": 50, "GBP": 10}}}}}
	config == {"limits": {"USD": 50, "EUR": 90, "GBP": 10}, "role": "support"}
}

test_pack_config_of_a_pack_without_defaults_is_empty[note] if {
	some note, tenants in {"no tenants": {}, "a tenant that sets some": {"acme": {"packs": {"p": {"role": "boss"}}}}}
	lib.pack_config("p") == {} with input as t.asked with data.policy as {"p": {}} with data.tenants as tenants
}

# The bundle has the settings of each tenant that overrides some.
test_pack_config_of_the_bundle_comes_first if {
	config := lib.pack_config("p") with input as t.asked
		with data.policy as {"p": {"defaults": _defaults}}
		with data.tenants as {"acme": {"packs": {"p": {"role": "boss"}}}}
		with data.placet.compiled.packs as {"acme": {"p": {"role": "compiled"}}}
	config == {"role": "compiled"}
}

# It has the defaults of the other tenants too.
test_pack_config_of_the_bundle_has_the_defaults if {
	config := lib.pack_config("p") with input as t.asked
		with data.policy as {"p": {"defaults": _defaults}}
		with data.tenants as {}
		with data.placet.compiled as {"packs": {"acme": {"q": {"role": "boss"}}}, "defaults": {"p": {"role": "compiled"}}}
	config == {"role": "compiled"}
}
