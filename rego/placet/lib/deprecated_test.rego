package placet.lib_test

import data.placet.lib
import data.placet.testing_test as t

_by_old_name contains "read" if lib.reads

_by_old_name contains "write" if lib.writes

_by_old_name contains "listed" if lib.listed

_by_new_name contains "read" if lib.is_read_tool

_by_new_name contains "write" if lib.is_write_tool

_by_new_name contains "listed" if lib.is_listed

_lists := _tenants({"approvals": {"crm.merge": {}}})

test_deprecated_names_give_the_same_values[note] if {
	some note, case in {
		"a read tool": {"tool": "crm.read", "lists": {"read", "listed"}, "required": false},
		"a write tool": {"tool": "crm.write", "lists": {"write", "listed"}, "required": true},
		"a tool in neither list": {"tool": "crm.erase", "lists": set(), "required": null},
		"an approval that does not say": {"tool": "crm.merge", "lists": set(), "required": null},
	}
	document := t.acting({"tool": case.tool})
	_by_old_name == case.lists with input as document with data.tenants as _lists
	_by_new_name == case.lists with input as document with data.tenants as _lists
	lib.person_needed == case.required with input as document with data.tenants as _lists
	lib.approval_required == case.required with input as document with data.tenants as _lists
}

test_deprecated_said[note] if {
	some note, case in {"a value": {"input": t.asked, "value": "crm.read"}, "no value": {"input": {}, "value": null}}
	lib.said(["action", "tool"]) == case.value with input as case.input
}
