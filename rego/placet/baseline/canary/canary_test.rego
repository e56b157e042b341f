package placet.baseline.canary_test

import data.placet.baseline.canary
import data.placet.testing_test as t

test_the_canary_is_answered if {
	t.ids(canary.deny) == {"canary.alive"} with input as t.acting({"tool": "placet.canary"})
}

test_nothing_else_is[note] if {
	some note, document in t.spoilt(t.asked, "/action/tool", "")
	canary.deny == set() with input as document
}
