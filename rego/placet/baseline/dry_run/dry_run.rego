# METADATA
# description: Denies all but dry runs of some tools (dry_run.required). placet.lib reads dry_run.waives_approval.
package placet.baseline.dry_run

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: This tool may only be used as a dry run
# custom:
#   rule_id: dry_run.required
deny contains finding(rego.metadata.rule(), {}) if {
	lib.tool.dry_run_required
	not _dry
}

_dry if input.action.dry_run == true
