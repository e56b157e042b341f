# METADATA
# description: Tools that may only be tried (dry_run.required). dry_run.waives_approval is asked for in placet.lib.
package placet.baseline.dry_run

import data.placet.lib.finding

# METADATA
# title: This tool may only be used as a dry run
# custom:
#   rule_id: dry_run.required
deny contains finding(rego.metadata.rule(), {}) if {
	input.action.tool in data.tenants[input.identity.tenant].dry_run.required
	not _dry
}

_dry if input.action.dry_run == true
