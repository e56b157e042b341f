# METADATA
# description: Where agents may write (environments.write). A tenant without the key does not restrict it.
package placet.baseline.environments

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: Agents may not write in this environment
# custom:
#   rule_id: environments.not_writable
deny contains finding(rego.metadata.rule(), {"environment": lib.said(["action", "environment"])}) if {
	data.tenants[input.identity.tenant].environments.write
	lib.writes
	not _writable
}

_writable if input.action.environment in data.tenants[input.identity.tenant].environments.write
