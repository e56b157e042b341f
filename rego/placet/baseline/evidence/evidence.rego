# METADATA
# description: Requires citations for some tools (evidence).
package placet.baseline.evidence

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The action cites fewer sources than this tool requires
# custom:
#   rule_id: evidence.too_few
deny contains finding(rego.metadata.rule(), object.union({"cited": count(_cited)}, lib.tool.evidence)) if {
	lib.tool.evidence
	not _enough
}

_enough if {
	is_number(lib.tool.evidence.min_items)
	count(_cited) >= lib.tool.evidence.min_items
}

# Citing the same document twice counts as one citation.
_cited contains item.uri if {
	some item in input.evidence
	is_string(item.uri)
	item.uri != ""
}
