# METADATA
# description: |
#   The only entrypoint. It collects the findings of every pack below placet.baseline and below policy, and applies the
#   precedence deny > require_approval > allow. Without any finding the decision is deny.
package placet.main

# METADATA
# description: The decision on each request of a batch, by its index. A missing index means that evaluation failed.
# entrypoint: true
# schemas:
#   - input.batch: {type: array}
decisions[index] := answer if {
	some index, request in input.batch
	answer := decision with input as request
}

# METADATA
# description: The decision on one request, with all findings. Its rule_id is the smallest one of the winning effect.
decision := {"effect": effect, "rule_id": rule_id, "findings": _findings} if {
	effect := _findings[0].effect
	rule_id := min({finding.rule_id | some finding in _findings; finding.effect == effect})
} else := {"effect": "deny", "rule_id": "pdp.no_rule_matched", "findings": []} if {
	_findings == []
}

# In the order of precedence, so that the first finding has the winning effect.
_findings := array.flatten([
	[object.union(found, {"effect": "deny"}) | found := data.placet.baseline[_].deny[_]],
	[object.union(found, {"effect": "deny"}) | found := data.policy[_].deny[_]],
	[object.union(found, {"effect": "require_approval"}) | found := data.placet.baseline[_].require_approval[_]],
	[object.union(found, {"effect": "require_approval"}) | found := data.policy[_].require_approval[_]],
	[object.union(found, {"effect": "allow"}) | found := data.placet.baseline[_].allow[_]],
	[object.union(found, {"effect": "allow"}) | found := data.policy[_].allow[_]],
])
