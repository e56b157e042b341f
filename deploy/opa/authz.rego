# METADATA
# description: |
#   What the sidecar answers to whom: decisions and its health, to whoever reaches its port. All else is refused: no
#   ad-hoc query, no change of policy or data. Placet's own OPA listens on a private socket instead and needs no such rule.
package system.authz

default allow := false

allow if {
	input.method == "POST"
	input.path == ["v1", "data", "placet", "main", "decisions"]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
