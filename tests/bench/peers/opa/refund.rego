# METADATA
# description: |
#   The refund of Placet's shipped policy in the fewest lines, as one writes it for OPA alone: the role, a limit in the
#   currency, and the tenant.
package peers.refund

default allow := false

allow if {
	input.identity.tenant in {"acme"}
	input.action.tool == "stripe.refund"
	input.action.environment == "production"
	"support_refunds" in input.identity.roles
	input.action.amount.minor_units > 0
	input.action.amount.minor_units <= limits[input.action.amount.currency_code]
}

limits := {"USD": 10000}
