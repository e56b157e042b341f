package placet.baseline.evidence_test

import data.placet.baseline.evidence
import data.placet.testing_test as t

_tenants := {"acme": {"evidence": {"kb.answer": {"min_items": 2}}}}

_citing(items) := object.union(t.acting({"tool": "kb.answer"}), {"evidence": items})

_one := {"uri": "kb://1", "sha256": ""}

_two := {"uri": "kb://2", "sha256": ""}

test_enough[note] if {
	some note, items in {"as many as needed": [_one, _two], "more": [_one, _two, {"uri": "kb://3", "sha256": ""}]}
	evidence.deny == set() with input as _citing(items) with data.tenants as _tenants
}

test_too_few[note] if {
	some note, case in {
		"none": {"items": [], "cited": 0},
		"one": {"items": [_one], "cited": 1},
		"the same twice": {"items": [_one, {"uri": "kb://1", "sha256": "ab"}], "cited": 1},
		"without a name": {"items": [_one, {"uri": "", "sha256": "ab"}], "cited": 1},
	}
	found := evidence.deny with input as _citing(case.items) with data.tenants as _tenants
	t.ids(found) == {"evidence.too_few"}
	{finding.details | some finding in found} == {{"cited": case.cited, "min_items": 2}}
}

test_evidence_that_is_no_list_of_citations_does_not_count[note] if {
	some case in [["/evidence", "array"], ["/evidence/0", "object"], ["/evidence/0/uri", "string"]]
	some note, document in t.spoilt(_citing([_one, _two]), case[0], case[1])
	t.ids(evidence.deny) == {"evidence.too_few"} with input as document with data.tenants as _tenants
}

test_a_need_that_is_no_number_is_never_met[note] if {
	some note, rule in {"missing": {}, "text": {"min_items": "0"}, "null": {"min_items": null}}
	t.ids(evidence.deny) == {"evidence.too_few"} with input as _citing([_one, _two])
		with data.tenants as {"acme": {"evidence": {"kb.answer": rule}}}
}

test_other_tools_need_none if {
	evidence.deny == set() with input as t.asked with data.tenants as _tenants
}

# A missing or malformed tool or tenant has no list, so the pack allowlist denies it.
test_an_unlisted_tool_is_left_to_the_allowlist[note] if {
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(_citing([]), pointer, "string")
	evidence.deny == set() with input as document with data.tenants as _tenants
}
