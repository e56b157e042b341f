# METADATA
# description: Helpers for the tests of every pack. They are not part of the served policy.
package placet.testing_test

# METADATA
# description: A complete input of the tenant acme for a read tool.
asked := {
	"action": {
		"destination": "",
		"dry_run": false,
		"environment": "",
		"params": {},
		"scope": "",
		"tool": "crm.read",
		"tool_schema_version": "",
	},
	"evidence": [],
	"facts": {"autonomy": "execute", "budgets": {}, "tool": {"class": "read"}},
	"identity": {"agent": "support-agent", "delegation": [], "roles": [], "tenant": "acme", "user": "u_4812"},
	"model": {"estimated_cost_micros": 0, "input_tokens": 0, "name": "", "output_tokens": 0, "prompt_version": ""},
	"now": "2026-04-24T18:33:01.123456Z",
	"run": {"planner": "", "run_id": "", "step": 0, "trace_id": "", "workflow": ""},
}

# METADATA
# description: Return the same input with some fields of the action replaced.
acting(action) := object.union(asked, {"action": action})

# METADATA
# description: |
#   Return malformed copies of a document, by a note of what is wrong: the field at a JSON pointer is missing, or has a
#   type other than the right one.
spoilt(document, pointer, right_type) := object.union(
	{sprintf("%s missing", [pointer]): json.remove(document, [pointer])},
	{sprintf("%s is %s", [pointer, type]): json.patch(document, [{"op": "replace", "path": pointer, "value": value}]) |
		some type, value in {
			"null": null,
			"boolean": true,
			"number": 7,
			"string": "x",
			"array": ["x"],
			"object": {"x": "x"},
		}
		type != right_type
	},
)

# METADATA
# description: Return the rule ids of findings.
ids(findings) := {finding.rule_id | some finding in findings}

test_spoilt_leaves_nothing_right if {
	documents := spoilt({"a": {"b": "right"}}, "/a/b", "string")
	{value | value := documents[_].a.b} == {null, true, 7, ["x"], {"x": "x"}}
	documents["/a/b missing"] == {"a": {}}
	count(documents) == 6
}
