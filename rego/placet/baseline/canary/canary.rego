# METADATA
# description: A request with a known answer. Placet sends it before it lets a policy revision decide.
package placet.baseline.canary

import data.placet.lib.finding

# METADATA
# title: The policy answers
# custom:
#   rule_id: canary.alive
deny contains finding(rego.metadata.rule(), {}) if input.action.tool == "placet.canary"
