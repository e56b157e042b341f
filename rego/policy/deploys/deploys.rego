# METADATA
# description: |
#   Requires approval for pull requests to protected branches and for releases to production, and blocks releases during
#   freezes. Settings: data.yaml beside this file, overridden by `packs.deploys` of a tenant.
package policy.deploys

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: A pull request to a protected branch requires approval by a code owner
# custom:
#   rule_id: deploys.protected_branch
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _code_owner_roles, "quorum": 1}) if {
	input.action.tool == "github.open_pull_request"
	not _open_branch
	not lib.dry_run_waives_approval
}

# METADATA
# title: A release to production requires approval
# custom:
#   rule_id: deploys.production
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _release_roles, "quorum": 1}) if {
	input.action.tool == "deploy.release"
	not _rehearsal
	not lib.dry_run_waives_approval
}

# METADATA
# title: Releases to production are blocked during a freeze
# custom:
#   rule_id: deploys.freeze
deny contains finding(rego.metadata.rule(), {"freeze": name, "now": lib.get_or_null(["now"])}) if {
	input.action.tool == "deploy.release"
	not _rehearsal
	some name, window in _config.freezes
	_concerns(window)
	not _outside(window)
}

_config := lib.pack_config("deploys")

# Null when it is not set, as in all details that are undefined.
_code_owner_roles := object.get(_config, "code_owner_roles", null)

_release_roles := object.get(_config, "release_roles", null)

# Fail closed: an unknown or missing environment counts as production, and an unknown or missing branch counts as
# protected.
_rehearsal if input.action.environment in _config.rehearsal_environments

_open_branch if {
	is_string(input.action.params.base)
	some pattern in _config.open_branches
	lib.glob_matches(pattern, ["/"], input.action.params.base)
}

# A freeze without services covers all services.
_concerns(window) if not _elsewhere(window)

# Names are compared without case and surrounding blanks, as deployment tools do. Fail closed: a name with other
# characters, such as a Cyrillic letter that looks like a Latin one, counts as a name of every service.
_elsewhere(window) if {
	is_array(window.services)
	count(window.services) > 0
	named := [_service_name(service) | some service in window.services]
	count(named) == count(window.services)
	service := _service_name(input.action.params.service)
	regex.match(`^[a-z0-9]+([._/-]+[a-z0-9]+)*$`, service)
	not service in named
}

_service_name(service) := lower(trim_space(service)) if is_string(service)

# A freeze includes `from` and excludes `until`. Fail closed: an unreadable time is inside every freeze.
_outside(window) if _now_ns < time.parse_rfc3339_ns(window.from)

_outside(window) if _now_ns >= time.parse_rfc3339_ns(window.until)

_now_ns := time.parse_rfc3339_ns(input.now) if is_string(input.now)
