package placet.main_test

import data.placet.main
import data.placet.testing_test as t

_finding(rule_id) := {"rule_id": rule_id, "reason": rule_id, "details": {}}

_with_effect(effect, rule_id) := object.union(_finding(rule_id), {"effect": effect})

_none := {"effect": "deny", "rule_id": "pdp.no_rule_matched", "findings": []}

test_precedence[note] if {
	some note, case in {
		"allow": {"packs": {"a": {"allow": {_finding("a.one")}}}, "effect": "allow", "rule_id": "a.one"},
		"require_approval over allow": {
			"packs": {"a": {"allow": {_finding("a.one")}}, "b": {"require_approval": {_finding("b.one")}}},
			"effect": "require_approval",
			"rule_id": "b.one",
		},
		"deny over require_approval": {
			"packs": {"a": {"require_approval": {_finding("a.one")}}, "b": {"deny": {_finding("b.one")}}},
			"effect": "deny",
			"rule_id": "b.one",
		},
		"deny over allow": {
			"packs": {"a": {"allow": {_finding("a.one")}, "deny": {_finding("z.one")}}},
			"effect": "deny",
			"rule_id": "z.one",
		},
		"the smallest rule_id of the effect": {
			"packs": {
				"a": {"deny": {_finding("c.one"), _finding("b.two")}, "allow": {_finding("a.one")}},
				"z": {"deny": {_finding("b.one")}},
			},
			"effect": "deny",
			"rule_id": "b.one",
		},
		"upper case comes first": {
			"packs": {"a": {"allow": {_finding("a.one"), _finding("Z_ONE")}}},
			"effect": "allow",
			"rule_id": "Z_ONE",
		},
	}
	decision := main.decision with data.policy as case.packs with data.placet.baseline as {}
	decision.effect == case.effect
	decision.rule_id == case.rule_id
}

test_every_set_of_both_roots_is_collected if {
	decision := main.decision with data.placet.baseline as {"a": {
		"deny": {_finding("a.one")},
		"require_approval": {_finding("a.two")},
		"allow": {_finding("a.three")},
	}}
		with data.policy as {"b": {
			"deny": {_finding("b.one")},
			"require_approval": {_finding("b.two")},
			"allow": {_finding("b.three")},
		}}
	decision.findings == [
		_with_effect("deny", "a.one"),
		_with_effect("deny", "b.one"),
		_with_effect("require_approval", "a.two"),
		_with_effect("require_approval", "b.two"),
		_with_effect("allow", "a.three"),
		_with_effect("allow", "b.three"),
	]
}

test_every_finding_has_its_effect if {
	decision := main.decision with data.placet.baseline as {}
		with data.policy as {
			"a": {"allow": {_finding("a.one")}, "deny": {_finding("a.two")}},
			"b": {"allow": {_finding("a.one")}, "require_approval": {_finding("b.two")}},
		}
	found := {finding | some finding in decision.findings}
	found == {_with_effect("deny", "a.two"), _with_effect("require_approval", "b.two"), _with_effect("allow", "a.one")}
}

test_a_pack_cannot_name_the_effect_of_its_finding if {
	decision := main.decision with data.placet.baseline as {}
		with data.policy as {"a": {"deny": {_with_effect("allow", "a.one")}}}
	decision == {"effect": "deny", "rule_id": "a.one", "findings": [_with_effect("deny", "a.one")]}
}

test_nothing_found_is_a_deny[note] if {
	some note, packs in {
		"no pack": {},
		"packs without rules": {"a": {}, "b": {"deny": set(), "allow": set()}},
		"a misspelt set": {"a": {"alow": {_finding("a.one")}}},
		"default allow := true": {"a": {"allow": true}},
		"an allow that is no set": {"a": {"allow": "yes"}},
		"another package's idiom": {"a": {"allowed": true, "violation": {"msg": "no"}}},
	}
	main.decision == _none with data.policy as packs with data.placet.baseline as {}
}

# A malformed finding leaves the decision undefined, which Placet denies with pdp.undefined.
test_a_deny_that_is_no_finding_never_ends_in_an_allow if {
	not main.decision with data.placet.baseline as {}
		with data.policy as {"a": {"allow": {_finding("a.one")}, "deny": {{"message": "no"}}}}
}

# The rule_ids of a request's findings, by effect.
_ids(found) := {effect: {finding.rule_id | some pack in packs; some finding in pack} | some effect, packs in found}

test_a_batch_is_decided_one_by_one if {
	canary := t.acting({"tool": "placet.canary"})
	decisions := main.decisions with input as {"batch": [canary, t.asked, {}, 7]}
		with data.tenants as {"acme": {"allowed_tools": ["crm.read"]}}
	unlisted := {"deny": {"allowlist.unlisted_tool"}, "require_approval": set(), "allow": set()}
	{index: _ids(found) | some index, found in decisions} == {
		0: {"deny": {"canary.alive"}, "require_approval": set(), "allow": set()},
		1: {"deny": set(), "require_approval": set(), "allow": {"tools.listed_read"}},
		2: unlisted,
		3: unlisted,
	}
}

# A finding of another shape than lib.finding gives is in the answer, so that Placet denies with pdp.answer_invalid.
test_a_malformed_finding_is_not_left_out if {
	decisions := main.decisions with input as {"batch": [t.asked]}
		with data.placet.baseline as {}
		with data.policy as {"a": {"deny": {{"message": "no"}}}}
	decisions[0].deny == [set(), {{"message": "no"}}]
}

# The bundle has a module that names the packs, so that OPA does not search for them.
test_the_module_of_the_bundle_decides_alone if {
	found := {"deny": [{_finding("a.one")}], "require_approval": [], "allow": [{_finding("b.one")}]}
	compiled := {"built": true, "findings": found}
	main.decisions == {0: found} with input as {"batch": [t.asked]} with data.placet.compiled as compiled
}

test_an_empty_batch_has_no_decisions if {
	main.decisions == {} with input as {"batch": []}
}
