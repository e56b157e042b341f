# METADATA
# description: Restricts the environments in which agents may write (environments.write). Without the key all are open.
package placet.baseline.environments

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: Agents may not write in this environment
# custom:
#   rule_id: environments.not_writable
deny contains finding(rego.metadata.rule(), {"environment": lib.get_or_null(["action", "environment"])}) if {
	lib.tool.environments
	not _writable
}

_writable if input.action.environment in lib.tool.environments
