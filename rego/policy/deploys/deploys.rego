# METADATA
# description: |
#   Code on its way to production: pull requests to branches that matter, releases, and the days without releases.
#   Settings: data.yaml beside this file, `packs.deploys` of a tenant.
package policy.deploys

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: A pull request to a protected branch needs a code owner
# custom:
#   rule_id: deploys.protected_branch
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _code_owner_roles, "quorum": 1}) if {
	input.action.tool == "github.open_pull_request"
	not _open_branch
	not lib.dry_run_waives_approval
}

# METADATA
# title: A release to production needs a person
# custom:
#   rule_id: deploys.production
require_approval contains finding(rego.metadata.rule(), {"approver_roles": _release_roles, "quorum": 1}) if {
	input.action.tool == "deploy.release"
	not _rehearsal
	not lib.dry_run_waives_approval
}

# METADATA
# title: Nothing is released to production during a freeze
# custom:
#   rule_id: deploys.freeze
deny contains finding(rego.metadata.rule(), {"freeze": name, "now": lib.said(["now"])}) if {
	input.action.tool == "deploy.release"
	not _rehearsal
	some name, window in _config.freezes
	_concerns(window)
	not _outside(window)
}

_config := lib.pack_config("deploys")

# Null where it is not set, as details tell whatever is undefined.
_code_owner_roles := object.get(_config, "code_owner_roles", null)

_release_roles := object.get(_config, "release_roles", null)

# What is not known to be harmless is production, and a branch that is not known to be open is protected: also when the
# input does not name it.
_rehearsal if input.action.environment in _config.rehearsal_environments

_open_branch if {
	is_string(input.action.params.base)
	some pattern in _config.open_branches
	lib.glob_matches(pattern, ["/"], input.action.params.base)
}

# A freeze without services is one of all services.
_concerns(window) if not _elsewhere(window)

# Names are compared without case and surrounding blanks, as deployment tools do. A name that is not plain, such as one
# with a letter of another alphabet that looks like a Latin one, may be any service's.
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

# From the first instant of a freeze until, but without, its last. Whatever cannot be told is inside.
_outside(window) if _now_ns < time.parse_rfc3339_ns(window.from)

_outside(window) if _now_ns >= time.parse_rfc3339_ns(window.until)

_now_ns := time.parse_rfc3339_ns(input.now) if is_string(input.now)
