# METADATA
# description: |
#   Denies params that do not match the tool's schema (tools.<tool>.params_schema). Placet checks them before it asks,
#   and says what is wrong in `facts.params_schema.violations`, which every input of a tool with a schema has.
package placet.baseline.schemas

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The params do not match the tool's schema
# custom:
#   rule_id: schemas.params_invalid
deny contains finding(rego.metadata.rule(), {"violations": array.slice(_violations, 0, 10)}) if {
	lib.tool.params_schema
	not input.facts.params_schema.violations == []
	not _match[0]
}

_violations := input.facts.params_schema.violations if {
	_checked
} else := [{"path": substring(_path(violation.field), 0, 200), "problem": substring(violation.desc, 0, 200)} |
	some violation in _match[1]
]

_checked if is_array(input.facts.params_schema.violations)

# Fail closed: an input without the fact, as in tests, is checked here. json.match_schema would ignore the keywords of
# draft 2020-12, and would parse a string as JSON, but the tool would get the string itself.
_match := json.match_schema(input.action.params, _schema) if {
	not _checked
	is_object(input.action.params)
	not contains(object.get(_schema, "$schema", ""), "2020-12")
}

_schema := data.tenants[input.identity.tenant].tools[input.action.tool].params_schema

_path("(Root)") := "params"

_path(field) := concat(".", ["params", field]) if field != "(Root)"
