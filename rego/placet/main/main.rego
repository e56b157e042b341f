# METADATA
# description: |
#   The only entrypoint. It collects the findings of every pack below placet.baseline and below policy. Placet applies
#   the precedence deny > require_approval > allow to them. Without any finding the decision is deny.
package placet.main

# METADATA
# description: The findings on each request of a batch, by its index. A missing index means that evaluation failed.
# entrypoint: true
# schemas:
#   - input.batch: {type: array}
decisions[index] := answer if {
	some index, request in input.batch
	answer := data.placet.compiled.findings with input as request
}

# Without the module that Placet adds to a bundle, as in tests, the packs are searched for.
decisions[index] := answer if {
	not data.placet.compiled.built
	some index, request in input.batch
	answer := findings with input as request
}

# METADATA
# description: |
#   The findings on one request: for each effect a list, with the set of each pack. The module that Placet adds to a
#   bundle names the packs and gives the same.
findings := {"deny": _deny, "require_approval": _require_approval, "allow": _allow}

_deny := [
	{finding | finding := data.placet.baseline[_].deny[_]},
	{finding | finding := data.policy[_].deny[_]},
]

_require_approval := [
	{finding | finding := data.placet.baseline[_].require_approval[_]},
	{finding | finding := data.policy[_].require_approval[_]},
]

_allow := [
	{finding | finding := data.placet.baseline[_].allow[_]},
	{finding | finding := data.policy[_].allow[_]},
]

# METADATA
# description: |
#   The decision on one request, with all findings, for tests and for people who query OPA. Its rule_id is the smallest
#   one of the winning effect. Placet does not ask for it: it takes this decision from `findings` itself.
decision := {"effect": effect, "rule_id": rule_id, "findings": _findings} if {
	effect := _findings[0].effect
	rule_id := min({finding.rule_id | some finding in _findings; finding.effect == effect})
} else := {"effect": "deny", "rule_id": "pdp.no_rule_matched", "findings": []} if {
	_findings == []
}

# In the order of precedence, so that the first finding has the winning effect.
_findings := [object.union(found, {"effect": effect}) |
	some effect in ["deny", "require_approval", "allow"]
	some pack in findings[effect]
	some found in pack
]
