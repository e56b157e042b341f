package placet.lib_test

import data.placet.lib

_texts := ["", "a", "b", "ab", "a.b", "a/b", "a/b/c", "a,b", "a*b", "aéb", "a\nb", "[x]", "a+b", "a]b"]

_one_between := {"a,b", "a*b", "aéb", "a\nb", "a+b", "a]b"}

_stands_for(pattern) := {text | some text in _texts; lib.glob_matches(pattern, [".", "/"], text)}

test_what_a_pattern_stands_for[note] if {
	some note, case in {
		"itself": {"pattern": "a.b", "texts": {"a.b"}},
		"an asterisk stays within separators": {"pattern": "a*", "texts": ({"a", "ab"} | _one_between)},
		"two cross them": {"pattern": "a/**", "texts": {"a/b", "a/b/c"}},
		"a question mark": {"pattern": "a?b", "texts": _one_between},
		"a class": {"pattern": "[a-b]", "texts": {"a", "b"}},
		"not of a class": {"pattern": "[!a]", "texts": {"b"}},
		"either": {"pattern": "{a,b/c,a/b}", "texts": {"a", "a/b"}},
		"either within either": {"pattern": "{b,a{.,/}b}", "texts": {"b", "a.b", "a/b"}},
		"a comma outside braces": {"pattern": "a,b", "texts": {"a,b"}},
		"a brace that nothing opened": {"pattern": "a}", "texts": set()},
		"an escaped asterisk": {"pattern": `a\*b`, "texts": {"a*b"}},
		"an escaped bracket": {"pattern": `\[x]`, "texts": {"[x]"}},
		"what means something in an expression": {"pattern": "a+b", "texts": {"a+b"}},
	}
	_stands_for(case.pattern) == case.texts
}

test_without_separators_an_asterisk_is_any_text if {
	lib.glob_matches("a*c", [], "a/b/c")
	lib.glob_matches("a?b", [], "a/b")
}

test_what_is_no_pattern_becomes_no_expression[pattern] if {
	some pattern in ["[a", "{a", `a\`, "[]"]
	not regex.is_valid(lib.glob_regex(pattern, ["."]))
}
