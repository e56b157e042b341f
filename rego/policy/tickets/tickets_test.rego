package policy.tickets_test

import data.placet.testing_test as t
import data.policy.tickets

_ticket := object.union(
	t.acting({
		"tool": "jira.create_issue",
		"scope": "jira:write",
		"params": {"project": "OPS", "priority": "low", "summary": "The printer is on fire"},
	}),
	{"identity": {"roles": ["ticketops"]}},
)

_tenants := {"acme": {"packs": {"tickets": {"projects": ["OPS", "DESK"]}}}}

_all(document) := t.ids(found) if {
	found := (tickets.deny | tickets.require_approval) | tickets.allow with input as document
		with data.tenants as _tenants
}

test_ticket_operations_may_write_tickets[note] if {
	some note, tool in {"an issue": "jira.create_issue", "a ticket": "jira.create_ticket"}
	_all(object.union(_ticket, {"action": {"tool": tool}})) == {"JIRA_WRITE_ALLOWED_TICKETOPS"}
}

test_others_are_left_to_other_packs[note] if {
	some note, change in {
		"another role": {"identity": {"roles": ["support"]}},
		"no role": {"identity": {"roles": []}},
		"roles that are an object": {"identity": {"roles": {"x": "ticketops"}}},
		"another scope": {"action": {"scope": "jira:read"}},
	}
	_all(object.union(_ticket, change)) == set()
}

test_nothing_is_allowed_without_role_or_scope[note] if {
	some case in [["/identity/roles", "array"], ["/identity/roles/0", "string"], ["/action/scope", "string"]]
	some note, document in t.spoilt(_ticket, case[0], case[1])
	_all(document) == set()
}

test_another_project_is_denied[note] if {
	some note, project in {"another": "PAY", "other case": "ops", "none": ""}
	document := object.union(_ticket, {"action": {"params": {"project": project}}})
	_all(document) == {"tickets.project_not_allowed"}
	found := tickets.deny with input as document with data.tenants as _tenants
	{finding.details | some finding in found} == {{"project": project}}
}

test_a_missing_or_wrong_project_is_denied[note] if {
	some note, document in t.spoilt(_ticket, "/action/params/project", "string")
	_all(document) == {"tickets.project_not_allowed"}
}

test_missing_or_wrong_params_are_denied[note] if {
	some note, document in t.spoilt(_ticket, "/action/params", "object")
	_all(document) == {"tickets.project_not_allowed", "tickets.urgent"}
}

test_no_list_of_projects_is_no_restriction if {
	tickets.deny == set() with input as _ticket with data.tenants as {}
}

test_a_priority_that_may_page_people_requires_approval[note] if {
	some note, priority in {"highest": "highest", "unknown": "asap", "other case": "Low"}
	document := object.union(_ticket, {"action": {"params": {"priority": priority}}})
	_all(document) == {"tickets.urgent"}
	found := tickets.require_approval with input as document with data.tenants as _tenants
	{finding.details | some finding in found} == {{"approver_roles": ["support_lead"], "quorum": 1}}
}

test_a_missing_or_wrong_priority_requires_approval[note] if {
	some note, document in t.spoilt(_ticket, "/action/params/priority", "string")
	_all(document) == {"tickets.urgent"}
}

test_a_dry_run_may_waive_approval if {
	tenants := {"acme": {"dry_run": {"waives_approval": ["jira.create_issue"]}}}
	document := object.union(_ticket, {"action": {"dry_run": true, "params": {"priority": "highest"}}})
	tickets.require_approval == set() with input as document with data.tenants as tenants
	count(tickets.require_approval) == 1 with input as document with data.tenants as {}
}

test_missing_settings_allow_nothing if {
	t.ids(tickets.deny) == {"tickets.project_not_allowed"} with input as _ticket
		with data.tenants as {}
		with tickets.defaults as {}
	t.ids(tickets.require_approval) == {"tickets.urgent"} with input as _ticket
		with data.tenants as {}
		with tickets.defaults as {}
	tickets.allow == set() with input as _ticket with data.tenants as {} with tickets.defaults as {}
}

test_a_tenant_that_cannot_be_read_has_the_defaults[note] if {
	some note, document in t.spoilt(_ticket, "/identity/tenant", "string")
	_all(document) == {"JIRA_WRITE_ALLOWED_TICKETOPS"}
}

# A missing or malformed tool is in no list, so the pack allowlist denies it.
test_other_tools_write_no_tickets[note] if {
	some what, params in {"no params": {}, "good params": _ticket.action.params}
	document := json.patch(_ticket, [{"op": "replace", "path": "/action/params", "value": params}])
	some how, other in t.spoilt(document, "/action/tool", "")
	note := sprintf("%s, %s", [what, how])
	_all(other) == set()
}
