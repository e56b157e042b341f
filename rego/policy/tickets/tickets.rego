# METADATA
# description: |
#   Restricts the Jira projects in which agents create tickets, and requires approval for priorities that may page
#   people. Settings: data.yaml beside this file, overridden by `packs.tickets` of a tenant.
package policy.tickets

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: Agents may not create tickets in this project
# custom:
#   rule_id: tickets.project_not_allowed
deny contains finding(rego.metadata.rule(), {"project": lib.get_or_null(["action", "params", "project"])}) if {
	input.action.tool in {"jira.create_issue", "jira.create_ticket"}
	not _project_allowed
}

# METADATA
# title: A ticket whose priority may page people requires approval
# custom:
#   rule_id: tickets.urgent
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _approver_roles, "quorum": 1}) if {
	input.action.tool in {"jira.create_issue", "jira.create_ticket"}
	not _calm
	not lib.dry_run_waives_approval
}

# METADATA
# title: The user has the role for ticket operations
# custom:
#   rule_id: JIRA_WRITE_ALLOWED_TICKETOPS
allow contains finding(rego.metadata.rule(), {}) if {
	input.action.tool in {"jira.create_issue", "jira.create_ticket"}
	input.action.scope == "jira:write"
	is_array(input.identity.roles)
	_config.role in input.identity.roles
	_project_allowed
	_calm
}

_config := lib.pack_config("tickets")

# Null when it is not set, as in all details that are undefined.
_approver_roles := object.get(_config, "approver_roles", null)

# An empty list allows all projects.
_project_allowed if _config.projects == []

_project_allowed if input.action.params.project in _config.projects

# Fail closed: a missing or unknown priority may page people.
_calm if input.action.params.priority in _config.calm_priorities
