package placet.lib

# METADATA
# description: |
#   Whether a glob pattern stands for the whole text. `*` is any text without a separator, `**` any text, `?` one
#   character that is no separator, `[a-z]` and `[!a-z]` one character of a class or none of it, `{a,b}` either, and `\`
#   makes the next character an ordinary one. Separators are single characters.
#
#   Use this in place of OPA's glob.match, which capabilities.json leaves out: the time of that can grow with the power
#   of the number of `*`, the time of this grows with the length of the text.
glob_matches(pattern, separators, text) if regex.match(glob_regex(pattern, separators), text)

# METADATA
# description: The regular expression (RE2, whose time is linear) that matches what the glob pattern stands for.
glob_regex(pattern, separators) := concat("", array.flatten(["^(?s:", parts, ")$"])) if {
	tokens := regex.find_n(`(?s)\\.|\*+|\[!?[^\]]+\]|[^\\*?\[{},]+|.`, pattern, -1)
	one := _glob_one(separators)
	parts := [_glob_part(token, one, _glob_depth(tokens, index)) | some index, token in tokens]
}

_glob_one(separators) := "." if separators == []

_glob_one(separators) := sprintf("[^%s]", [_class(concat("", separators))]) if separators != []

# How many braces are open before the token.
_glob_depth(tokens, _) := 0 if not "{" in tokens

_glob_depth(tokens, index) := count([1 | some token in before; token == "{"]) - closed if {
	"{" in tokens
	before := array.slice(tokens, 0, index)
	closed := count([1 | some token in before; token == "}"])
}

_glob_part(token, one, depth) := concat("", [one, "*"]) if {
	token == "*"
} else := one if {
	token == "?"
} else := ".*" if {
	startswith(token, "**")
} else := "(?:" if {
	token == "{"
} else := ")" if {
	token == "}"
	depth > 0
} else := "|" if {
	token == ","
	depth > 0
} else := concat("", ["[^", _class(trim_suffix(trim_prefix(token, "[!"), "]")), "]"]) if {
	startswith(token, "[!")
} else := concat("", ["[", _class(trim_suffix(trim_prefix(token, "["), "]")), "]"]) if {
	startswith(token, "[")
	count(token) > 1
} else := _literal(substring(token, 1, -1)) if {
	startswith(token, `\`)
	count(token) > 1
} else := token if {
	token in {"[", `\`} # no pattern: what it becomes is no expression, which is an error
} else := _literal(token)

_class(characters) := regex.replace(characters, `[\\^\[\]]`, `\$0`)

_literal(text) := regex.replace(text, `[\x00-/:-@\[-\x60{-\x7f]`, `\$0`)
