# METADATA
# description: |
#   Jira tickets: which projects, and no waking of people by an agent alone. Settings: data.yaml beside this file,
#   `packs.tickets` of a tenant.
package policy.tickets

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: Agents may not create tickets in this project
# custom:
#   rule_id: tickets.project_not_allowed
deny contains finding(rego.metadata.rule(), {"project": lib.said(["action", "params", "project"])}) if {
	input.action.tool in {"jira.create_issue", "jira.create_ticket"}
	not _project_allowed
}

# METADATA
# title: A ticket that may wake people needs a person
# custom:
#   rule_id: tickets.urgent
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _approver_roles, "quorum": 1}) if {
	input.action.tool in {"jira.create_issue", "jira.create_ticket"}
	not _calm
	not lib.dry_run_waives_approval
}

# METADATA
# title: Ticket operations may write tickets
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

# Null where it is not set, as details tell whatever is undefined.
_approver_roles := object.get(_config, "approver_roles", null)

# No list is no restriction.
_project_allowed if _config.projects == []

_project_allowed if input.action.params.project in _config.projects

# Said and known to be harmless. Saying nothing is not.
_calm if input.action.params.priority in _config.calm_priorities
