# METADATA
# description: |
#   The one entrypoint. It collects the findings of every pack, below placet.baseline and below policy, and applies the
#   precedence deny > require_approval > allow, once. Nothing found is a deny.
package placet.main

# METADATA
# description: One decision for each input of a batch, by its index. An index that is missing could not be decided.
# entrypoint: true
# schemas:
#   - input.batch: {type: array}
decisions[index] := answer if {
	some index, asked in input.batch
	answer := decision with input as asked
}

# METADATA
# description: The decision on one input, with everything that was found, named by the smallest rule_id of its effect.
decision := {"effect": effect, "rule_id": rule_id, "findings": _findings} if {
	effect := _findings[0].effect
	rule_id := min({finding.rule_id | some finding in _findings; finding.effect == effect})
} else := {"effect": "deny", "rule_id": "pdp.no_rule_matched", "findings": []} if {
	_findings == []
}

# In the order of precedence, so that the first one's effect is the decision's.
_findings := array.flatten([
	[object.union(found, {"effect": "deny"}) | found := data.placet.baseline[_].deny[_]],
	[object.union(found, {"effect": "deny"}) | found := data.policy[_].deny[_]],
	[object.union(found, {"effect": "require_approval"}) | found := data.placet.baseline[_].require_approval[_]],
	[object.union(found, {"effect": "require_approval"}) | found := data.policy[_].require_approval[_]],
	[object.union(found, {"effect": "allow"}) | found := data.placet.baseline[_].allow[_]],
	[object.union(found, {"effect": "allow"}) | found := data.policy[_].allow[_]],
])
