# METADATA
# description: |
#   What the sidecar answers to whoever reaches its port: decisions and its health. All else is refused: no ad-hoc
#   query, no change of policy or data. The OPA that Placet runs itself listens on a private socket and needs no such
#   rule.
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
