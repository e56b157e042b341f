package placet.baseline.destinations_test

import data.placet.baseline.destinations
import data.placet.testing_test as t

_tenants := {"acme": {"destinations": {
	"http.fetch": ["acme.example", "*.acme.example"],
	"queue.publish": ["support.*"],
	"git.push": ["feature/*", "agent/**"],
}}}

test_a_destination_that_is_named[note] if {
	some note, action in {
		"itself": {"tool": "http.fetch", "destination": "acme.example"},
		"by glob": {"tool": "http.fetch", "destination": "docs.acme.example"},
		"a queue": {"tool": "queue.publish", "destination": "support.mail"},
		"a branch": {"tool": "git.push", "destination": "feature/x"},
		"a branch below": {"tool": "git.push", "destination": "agent/7/fix"},
	}
	destinations.deny == set() with input as t.acting(action) with data.tenants as _tenants
}

test_a_destination_that_is_not[note] if {
	some note, action in {
		"another host": {"tool": "http.fetch", "destination": "evil.test"},
		"a host that ends alike": {"tool": "http.fetch", "destination": "notacme.example"},
		"a host that begins alike": {"tool": "http.fetch", "destination": "acme.example.evil.test"},
		"two labels": {"tool": "http.fetch", "destination": "a.b.acme.example"},
		"an empty label": {"tool": "http.fetch", "destination": "acme.example."},
		"other case": {"tool": "http.fetch", "destination": "docs.ACME.example"},
		"a path": {"tool": "http.fetch", "destination": "evil/x.acme.example"},
		"a query": {"tool": "http.fetch", "destination": "evil?x.acme.example"},
		"a fragment": {"tool": "http.fetch", "destination": "evil#x.acme.example"},
		"a user": {"tool": "http.fetch", "destination": "me@x.acme.example"},
		"a port": {"tool": "http.fetch", "destination": "evil:x.acme.example"},
		"a backslash": {"tool": "http.fetch", "destination": `evil\x.acme.example`},
		"a look-alike letter": {"tool": "http.fetch", "destination": "аcme.example"},
		"the pattern itself": {"tool": "queue.publish", "destination": "support"},
		"another tool's": {"tool": "queue.publish", "destination": "acme.example"},
		"a branch below": {"tool": "git.push", "destination": "feature/x/y"},
		"nothing": {"tool": "http.fetch", "destination": ""},
	}
	t.ids(destinations.deny) == {"destinations.not_allowed"} with input as t.acting(action) with data.tenants as _tenants
}

# The data as Placet builds it: the patterns and the expressions that Placet makes of them.
test_the_expressions_decide_where_there_are_some[note] if {
	some note, case in {
		"one that matches": {"expression": "^(?s:evil\\.test)$", "denied": 0},
		"one that does not": {"expression": "^(?s:acme\\.example)$", "denied": 1},
	}
	tenants := {"acme": {
		"destinations": {"http.fetch": ["evil.test"]},
		"destination_expressions": {"http.fetch": [case.expression]},
	}}
	found := destinations.deny with input as t.acting({"tool": "http.fetch", "destination": "evil.test"})
		with data.tenants as tenants
	count(found) == case.denied
}

test_the_destination_is_in_the_details if {
	found := destinations.deny with input as t.acting({"tool": "http.fetch", "destination": "evil.test"})
		with data.tenants as _tenants
	{finding.details | some finding in found} == {{"destination": "evil.test"}}
}

test_a_destination_that_is_no_text_is_denied[note] if {
	fetching := t.acting({"tool": "http.fetch", "destination": "acme.example"})
	some note, document in t.spoilt(fetching, "/action/destination", "string")
	t.ids(destinations.deny) == {"destinations.not_allowed"} with input as document with data.tenants as _tenants
}

# A missing or malformed tool or tenant has no list, so the pack allowlist denies it.
test_a_tool_without_destinations_is_not_restricted[note] if {
	fetching := t.acting({"tool": "http.fetch", "destination": "evil.test"})
	some pointer in ["/action/tool", "/identity/tenant"]
	some note, document in t.spoilt(fetching, pointer, "string")
	destinations.deny == set() with input as document with data.tenants as _tenants
}
