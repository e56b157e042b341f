package placet.lib

# METADATA
# description: |
#   True when a glob pattern matches the whole text. `*` matches any text without a separator, `**` any text, `?` one
#   character that is not a separator, `[a-z]` one character of a class, `[!a-z]` one character outside it, and `{a,b}`
#   either part. `\` makes the next character a plain one. Separators are single characters.
#
#   Use this function instead of OPA's glob.match, which capabilities.json excludes. The time of glob.match can grow
#   exponentially with the number of `*`. The time of this function grows with the length of the text.
glob_matches(pattern, separators, text) if regex.match(glob_regex(pattern, separators), text)

# METADATA
# description: Return the regular expression that matches the same texts as the glob pattern. RE2 runs in linear time.
glob_regex(pattern, separators) := concat("", array.flatten(["^(?s:", parts, ")$"])) if {
	tokens := regex.find_n(`(?s)\\.|\*+|\[!?[^\]]+\]|[^\\*?\[{},]+|.`, pattern, -1)
	one := _glob_one(separators)
	parts := [_glob_part(token, one, _glob_depth(tokens, index)) | some index, token in tokens]
}

_glob_one(separators) := "." if separators == []

_glob_one(separators) := sprintf("[^%s]", [_class(concat("", separators))]) if separators != []

# The number of braces that are open before the token.
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
	token in {"[", `\`} # Not a valid pattern. The result is not a valid expression, so OPA reports an error.
} else := _literal(token)

_class(characters) := regex.replace(characters, `[\\^\[\]]`, `\$0`)

_literal(text) := regex.replace(text, `[\x00-/:-@\[-\x60{-\x7f]`, `\$0`)
