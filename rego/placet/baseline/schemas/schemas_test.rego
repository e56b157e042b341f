package placet.baseline.schemas_test

import data.placet.baseline.schemas
import data.placet.testing_test as t

_tenants := {"acme": {"tools": {
	"crm.update": {"params_schema": {
		"type": "object",
		"required": ["id"],
		"additionalProperties": false,
		"properties": {
			"id": {"type": "string", "pattern": "^c_[0-9]+$"},
			"fields": {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}},
		},
	}},
	"crm.read": {},
}}}

_updating(params) := t.acting({"tool": "crm.update", "params": params})

_violations(document) := violations if {
	found := schemas.deny with input as document with data.tenants as _tenants
	t.ids(found) == {"schemas.params_invalid"}
	violations := [violation | some finding in found; some violation in finding.details.violations]
}

test_params_that_match[note] if {
	some note, params in {"least": {"id": "c_1"}, "all": {"id": "c_1", "fields": {"age": 7}}}
	schemas.deny == set() with input as _updating(params) with data.tenants as _tenants
}

test_a_violation_is_denied_with_its_path[note] if {
	some note, case in {
		"missing": {"params": {}, "path": "params"},
		"unknown": {"params": {"id": "c_1", "x": 1}, "path": "params"},
		"wrong type": {"params": {"id": 7}, "path": "params.id"},
		"wrong form": {"params": {"id": "c_1; DROP TABLE"}, "path": "params.id"},
		"deep": {"params": {"id": "c_1", "fields": {"age": -1}}, "path": "params.fields.age"},
		"text for a number": {"params": {"id": "c_1", "fields": {"age": "7"}}, "path": "params.fields.age"},
	}
	violations := _violations(_updating(case.params))
	[violation.path | some violation in violations] == [case.path]
	every violation in violations {
		violation.problem != ""
	}
}

test_params_that_are_no_object_are_denied[note] if {
	some note, document in t.spoilt(_updating({"id": "c_1"}), "/action/params", "object")
	_violations(document) == []
}

test_params_as_json_text_are_denied if {
	document := json.patch(t.asked, [
		{"op": "replace", "path": "/action/tool", "value": "crm.update"},
		{"op": "replace", "path": "/action/params", "value": `{"id": "c_1"}`},
	])
	_violations(document) == []
}

# The caller chooses the names of members. The details stay below Placet's limit.
test_details_are_bounded if {
	many := {name: 1 | some number in numbers.range(1, 50); name := sprintf("%s%d", [_long, number])}
	violations := _violations(_updating(object.union({"id": "c_1"}, many)))
	count(violations) == 10
	count(json.marshal(violations)) < 8192
}

_long := concat("", [letter | some _ in numbers.range(1, 500); letter := "a"])

_told(violations) := object.union(_updating({"id": 7}), {"facts": {"params_schema": {"violations": violations}}})

# Placet's own check decides, whatever OPA would say of the params.
test_the_fact_decides if {
	schemas.deny == set() with input as _told([]) with data.tenants as _tenants
	one := [{"path": "params.id", "problem": "p"}]
	_violations(_told(one)) == one
	count(_violations(_told([{"path": "params", "problem": sprintf("%d", [n])} | some n in numbers.range(1, 20)]))) == 10
}

test_a_fact_of_another_type_is_no_fact[note] if {
	some note, document in t.spoilt(_told([]), "/facts/params_schema/violations", "array")
	[violation.path | some violation in _violations(document)] == ["params.id"]
}

# json.match_schema would accept [1] here: it does not know prefixItems.
test_a_schema_of_draft_2020_12_is_not_left_to_opa if {
	schema := {"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "string"}]}
	tenants := {"acme": {"tools": {"crm.update": {"params_schema": schema}}}}
	found := schemas.deny with input as _updating({}) with data.tenants as tenants
	[finding.details.violations | some finding in found] == [[]]
	schemas.deny == set() with input as _told([]) with data.tenants as tenants
}

test_a_tool_without_schema_takes_anything if {
	schemas.deny == set() with input as t.acting({"params": {"x": 1}}) with data.tenants as _tenants
}

# A missing or malformed tool or tenant has no list, so the pack allowlist denies it.
test_an_unlisted_tool_is_left_to_the_allowlist[note] if {
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(_updating({}), pointer, "string")
	schemas.deny == set() with input as document with data.tenants as _tenants
}
