# METADATA
# description: Checks params against the tool's schema (tools.<tool>.params_schema).
package placet.baseline.schemas

import data.placet.lib.finding

# METADATA
# title: The params do not match the tool's schema
# custom:
#   rule_id: schemas.params_invalid
deny contains finding(rego.metadata.rule(), {"violations": array.slice(_violations, 0, 10)}) if {
	_schema
	not _valid
}

_schema := data.tenants[input.identity.tenant].tools[input.action.tool].params_schema

# json.match_schema would parse a string as JSON, but the tool would get the string itself.
_match := json.match_schema(input.action.params, _schema) if is_object(input.action.params)

_valid if _match[0]

# The caller chooses the names of members, so they can be of any length.
_violations := [{"path": substring(_path(violation.field), 0, 200), "problem": substring(violation.desc, 0, 200)} |
	some violation in _match[1]
]

_path("(Root)") := "params"

_path(field) := concat(".", ["params", field]) if field != "(Root)"
