"""Finds secrets next to their name in markup, forms, SQL, command lines, and under names of other languages.

`assignments` finds values after an equals sign, a colon or a long flag. Each pattern here is bounded or possessive, and
each place that is examined closely is counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from placet.privacy.secret_names import FOREIGN_FORMS, is_secret, may_be_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MATCHES_TOGETHER: Final = 128
_NOTHING: Final = re.compile(
    r"(?:\[redacted:[a-z_]+\]|\$?\{\{?[\w. -]*\}?\}|\$\w+|%\w+%|\*+|null|none|true|false|\s*)\Z", re.IGNORECASE
)
"""Not a secret: a marker, a placeholder, an empty value."""
_ONE: Final = (
    r"(?:\"(?P<double>[^\"\r\n\ud800]{1,512}+)\"|'(?P<single>[^'\r\n\ud800]{1,512}+)'"
    r"|(?P<bare>[^\s\"'\ud800]{1,512}+))"
)
"""One word of a command line."""

_ELEMENT: Final = re.compile(
    r"<(?P<name>[A-Za-z](?:[\w:.\-]{0,63}+))(?P<attributes>\s[^<>\ud800]{0,1024}+)?>"
    r"(?:(?:<!\[CDATA\[)?(?P<inner>[^<\ud800]{1,2048}+)(?=</))?"
)
_ATTRIBUTE: Final = re.compile(
    r"([\w:\-]{1,64}+)\s{0,3}=\s{0,3}(?:\\{0,4}\"([^\"]*+)\"|\\{0,4}'([^']*+)'|([^\s\"'>\\]++))"
)
_NAMING: Final = frozenset({"name", "key", "property"})
_VALUES: Final = frozenset({"value", "content"})
_HIDDEN_TYPE: Final = "password"

_PART: Final = re.compile(
    r"form-data;[ \t]{0,4}+(?:filename=[^;\r\n\ud800]{0,64}+;[ \t]{0,4}+)?"
    r"name=\"?(?P<name>[^\"\r\n;\ud800]{1,96}+)\"?[^\r\n\ud800]{0,128}+"
    r"(?>(?:\r?\n[^\r\n\ud800]{1,200}+){0,4})\r?\n\r?\n(?P<inner>[^\r\n\ud800]{1,2048}+)",
    re.IGNORECASE,
)
"""A part of a multipart form: its header lines, an empty line, its value."""
_BLANK: Final = r"[ \t\r\n]{1,3}"
_SQL: Final = re.compile(
    rf"\b(?:(?P<sure>identified(?:{_BLANK}with{_BLANK}[\w\"'`]{{1,40}}+)?{_BLANK}(?:by(?:[ \t]{{1,3}}password)?|as)"
    rf"|encrypted{_BLANK}password)|password)[ \t\r\n]{{0,3}}\(?[ \t]{{0,3}}"
    r"(?P<quote>['\"])(?P<inner>[^'\"\ud800]{1,512}+)(?P=quote)",
    re.IGNORECASE,
)
_PERCENT: Final = re.compile(
    r"(?<![^?&#;\s\ud800])(?P<name>(?>(?:[\w.\-]|%[0-9A-Fa-f]{2}){2,96}))=(?P<inner>[^&#\s\"'<>\ud800]++)"
)
"""A parameter of a URL or form, whose name may contain percent-encoded letters."""
_ACCENTED: Final = ("contraseña", "hasło", "lösenord", "jelszó", "şifre", "mật khẩu", "κωδικός")
"""Names in other languages with accents. `assignments` finds the forms without accents."""
_FOREIGN: Final = re.compile(
    rf"(?:{'|'.join((*FOREIGN_FORMS, *_ACCENTED))})(?:\\{{0,4}}[\"'\u300d\u300f])?"
    rf"[ \t\u3000]{{0,3}}(?:[:=\uff1a\uff1d]|=>)[ \t\u3000]{{0,3}}\\{{0,4}}{_ONE}",
    re.IGNORECASE,
)

_TOOLS: Final = {
    **dict.fromkeys(("curl",), ("u", "U", "-user", "-proxy-user")),
    **dict.fromkeys(
        ("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mariadb", "mariadb-dump", "7z", "7za"), ("p+",)
    ),
    **dict.fromkeys(("sshpass",), ("p", "p+")),
    **dict.fromkeys(("docker", "podman", "nerdctl", "helm", "az", "oc", "skopeo"), ("p",)),
    **dict.fromkeys(("redis-cli",), ("a",)),
    **dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldappasswd", "ldapwhoami"), ("w",)),
    **dict.fromkeys(("unzip",), ("P",)),
}
"""Command -> flags whose value is a secret. ``p+`` means that the value follows ``-p`` without a blank."""
_LOGINS: Final = frozenset({"docker", "podman", "nerdctl", "helm", "az", "oc", "skopeo"})
"""Commands whose flag holds a secret only after the word "login". ``docker run -p 80:80`` holds none."""
_COMMAND: Final = re.compile(
    rf"(?<![\w.\-])(?P<tool>{'|'.join(sorted(_TOOLS, key=len, reverse=True))}|login)(?![\w\-])(?:\.exe)?"
    rf"|(?<!\S)-(?:(?P<flag>-user|-proxy-user|[uUpPaw])(?:[ \t]{{1,3}}|=|(?<=-u)){_ONE}|p(?P<attached>"
    r"[^\s\"'\ud800]{1,256}+|'[^'\r\n\ud800]{1,256}+'|\"[^\"\r\n\ud800]{1,256}+\"))"
    r"|(?P<end>(?<!\\)[\r\n;\ud800])"
)
"""A command, one of its flags with a value, or the end of the line."""


def form_spans(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Yield where secret values are in a text, in order. Calls `look` for each place that it examines closely.

    Empty spans between them are places where a caller may pause.
    """
    spans: list[tuple[int, int]] = []
    for hints, find in _FINDERS:
        if not any(hint in text for hint in hints):
            continue
        for start, end in find(text, look):
            if start < end and not _NOTHING.match(text, start, end):
                spans.append((start, end))
            elif start == end:
                yield 0, 0
        yield 0, 0
    position = 0
    for start, end in sorted(spans):
        if start >= position:
            position = end
            yield start, end


def _in_markup(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Find ``<password>S</password>``, ``<input name="password" value="S">``, ``<add key="password" value="S"/>``."""
    for number, match in enumerate(_ELEMENT.finditer(text), 1):
        if not number % _MATCHES_TOGETHER:
            yield match.start(), match.start()
        named = is_secret(match["name"].rpartition(":")[2]) if may_be_secret(match["name"]) else False
        if match["attributes"] and (named or may_be_secret(match["attributes"])):
            look()
            named_by_attribute, values = _attributes(match)
            named = named or named_by_attribute
            yield from (span for span in values if named)
        if named and match["inner"]:
            look()
            start, end = match.span("inner")
            yield start, end - len("]]>") * match["inner"].endswith("]]>")


def _attributes(match: re.Match[str]) -> tuple[bool, list[tuple[int, int]]]:
    """Return whether an attribute gives the element a secret name, and where its values are."""
    named, values = False, []
    for attribute in _ATTRIBUTE.finditer(match.string, *match.span("attributes")):
        group = attribute.lastindex or 0
        name, value = attribute[1].lower(), attribute[group].rstrip("\\")
        if name in _NAMING:
            named = named or is_secret(value)
        elif name == "type":
            named = named or value.lower() == _HIDDEN_TYPE
        elif name in _VALUES:
            values.append((attribute.start(group), attribute.start(group) + len(value)))
    return named, values


def _in_forms(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    for match in _PART.finditer(text):
        look()
        if is_secret(match["name"]):
            yield match.span("inner")


def _in_sql(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Find passwords in SQL. In prose about the 'word' password, letters only are no secret."""
    for match in _SQL.finditer(text):
        look()
        sure = match["sure"] or match[0].startswith("PASSWORD") or not match["inner"].isalpha()
        if sure and (match["sure"] or not any(map(str.isspace, match["inner"]))):
            yield match.span("inner")


def _in_queries(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    for number, match in enumerate(_PERCENT.finditer(text), 1):
        if not number % _MATCHES_TOGETHER:
            yield match.start(), match.start()
        if "%" in match["name"]:
            look()
            if is_secret(unquote(match["name"]), in_url=text[match.start() - 1 : match.start()] in {"?", "&", "#"}):
                yield match.span("inner")


def _in_foreign_names(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    for match in _FOREIGN.finditer(text):
        look()
        yield _word_span(match)


def _in_commands(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Find secret flags. A flag belongs to the command before it in its line."""
    tool, login = "", False
    for number, match in enumerate(_COMMAND.finditer(text), 1):
        if not number % _MATCHES_TOGETHER:
            yield match.start(), match.start()
        if match["end"]:
            tool, login = "", False
        elif match["tool"]:
            login = login or match["tool"] == "login"
            tool = tool if match["tool"] == "login" else match["tool"]
        elif tool and (login or tool not in _LOGINS):
            look()
            yield from _flag_value(tool, match)


def _flag_value(tool: str, match: re.Match[str]) -> Iterator[tuple[int, int]]:
    if match["attached"] and "p+" in _TOOLS[tool]:
        start, end = match.span("attached")
        quoted = match["attached"][0] in {'"', "'"}
        yield start + quoted, end - quoted
    elif match["flag"] and match["flag"] in _TOOLS[tool]:
        start, end = _word_span(match)
        if tool == "curl":
            start += len(match.string[start:end].partition(":")[0]) + 1
        if start < end:
            yield start, end


def _word_span(match: re.Match[str]) -> tuple[int, int]:
    return next(match.span(group) for group in ("double", "single", "bare") if match[group] is not None)


_FINDERS: Final = (
    (("</", "<input", "<INPUT", "<meta", "<add ", "<param", "<property"), _in_markup),
    (("form-data",), _in_forms),
    (("dentified", "DENTIFIED", "assword", "ASSWORD"), _in_sql),
    (("%",), _in_queries),
    (
        tuple({spelt for form in (*FOREIGN_FORMS, *_ACCENTED) for spelt in (form, form.capitalize(), form.upper())}),
        _in_foreign_names,
    ),
    (("curl", "mysql", "mariadb", "7z", "sshpass", "login", "redis-cli", "ldap", "unzip"), _in_commands),
)
"""Texts of which one must occur, and the finder that runs then."""
HINTS: Final = tuple(hint for hints, _ in _FINDERS for hint in hints)
"""Without any of these a text holds nothing to find."""
