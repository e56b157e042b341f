# METADATA
# description: |
#   The requests that the sidecar answers to any client that reaches its port: decisions and health checks. It refuses
#   everything else, such as ad-hoc queries and changes of policy or data. The OPA that Placet runs itself listens on a
#   private socket and needs no such rule.
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
