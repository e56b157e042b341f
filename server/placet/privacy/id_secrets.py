"""Finds secrets in ids: names of agents, users and roles, keys, runs. Ids are compared, counted and stored unchanged.

A secret in a text is redacted. An id cannot be redacted, because a counter or a kill switch would then match another
id. So a request with a secret in an id is rejected. Only certain secrets count: an id is often an e-mail address, a
long number, a UUID, an ARN or a URI.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from placet.privacy.assignments import assignment_spans
from placet.privacy.cards import is_card
from placet.privacy.detectors import DETECTORS
from placet.privacy.plain_text import plain
from placet.privacy.secret_forms import form_spans
from placet.privacy.secret_names import is_secret
from placet.privacy.text_scan import contains_any

if TYPE_CHECKING:
    from placet.privacy.detectors import Detector

_KINDS: Final = {
    "private_key": "a private key",
    "jwt": "a JSON Web Token",
    "aws_key": "an AWS access key",
    "aws_secret": "an AWS secret access key",
    "github_token": "a GitHub token",
    "slack_token": "a Slack token",
    "api_key": "an API key",
    "credential": "a credential after Bearer or Basic",
    "password": "a password in a URL",
}
"""Detector -> what it finds. Detectors of addresses, phones and accounts are excluded, because these name users."""
_CERTAIN: Final = tuple(detector for detector in DETECTORS if detector.name in _KINDS)
_MARKS: Final = re.compile(r"[= \"'<%\uff1d]|[0-9]{4}-[0-9]{4}")
"""Without any of these there is no name with a value, no card number in groups, and no scheme."""
_PREFIXES: Final = (
    *("://", "sk-", "sk_", "rk_", "whsec_", "AIza", "glpat-", "npm_", "eyJ", "AKIA", "ASIA", "xox", "xapp-"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hooks.slack", "SG.", "dop_v1_", "hf_", "placet_"),
)
"""Each token with a known form contains one of these, and has at least _TOKEN_CHARS_MIN characters."""
_has_prefix: Final = contains_any(_PREFIXES)
_BEHIND_A_NAME: Final = "a value behind a secret name (password, token and the like)"
_CARD: Final = re.compile(
    r"(?<![0-9])(?<![0-9][ -])[2-6][0-9]{3}([ -])"
    r"(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?|[0-9]{6}\1[0-9]{4,5})(?![0-9]|[ -][0-9])"
)
"""A card number in groups. Sixteen digits without separators may be any id."""
_UUID: Final = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
"""One random UUID in 40,000 contains groups of digits that look like a card number."""
_HEX_ID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\Z|[0-9A-Fa-f]*\Z")
"""A UUID or hex digits: most keys of requests. They hold no secret, because each known form needs other characters."""
_NAME: Final = re.compile(r"([\w.\-]+)(?:%3D|[^\w])*\Z", re.ASCII | re.IGNORECASE)
_NAME_CHARS_MAX: Final = 64
_AMBIGUOUS_NAMES: Final = frozenset({"auth", "authentication", "credential", "cred", "pass", "sid"})
"""Names that also precede ordinary words: ``auth=oidc``, ``sid=S-1-5-21``."""
_VALUE_CHARS_MIN: Final = 4
_TOKEN_CHARS_MIN: Final = 12
_KEY_CHARS_MIN: Final = 16
"""Minimum length of the longest hyphen-separated part of a key that begins with ``sk-``."""
_WINDOWS_SID: Final = "S-1-"


def secret_in_id(value: str) -> str:
    """Return which kind of secret an id certainly holds; empty for none. Never the secret itself."""
    if _HEX_ID.match(value):
        return ""
    text = plain(value)
    if not _MARKS.search(text) and (len(text) < _TOKEN_CHARS_MIN or not _has_prefix(text)):
        return ""
    for detector in _CERTAIN:
        if _detects(detector, text):
            return _KINDS[detector.name]
    if any(is_card("".join(filter(str.isdigit, match[0]))) for match in _CARD.finditer(_UUID.sub("", text))):
        return "a payment card number"
    if any(start < end for start, end in form_spans(text, _uncounted)):
        return _BEHIND_A_NAME
    return _assigned(text)


def _detects(detector: Detector, text: str) -> bool:
    """Return whether the detector finds a value that is not a part of a longer word."""
    if detector.hints and not any(hint in text for hint in detector.hints):
        return False
    spans = [span for span in detector.spans(text, _uncounted) if span[0] < span[1]]
    return any(not text[start - 1 : start].isalnum() and not _is_spelled(text[start:end]) for start, end in spans)


def _is_spelled(candidate: str) -> bool:
    """Return whether it only resembles an OpenAI key: a name in short words, as ``sk-learn-trainer-agent-7``."""
    return candidate.startswith("sk-") and max(map(len, candidate.split("-"))) < _KEY_CHARS_MIN


def _uncounted() -> None:
    """Count nothing: an id is short."""


def _assigned(text: str) -> str:
    """Return the kind of a value behind a secret name; empty for none."""
    while span := next((span for span in assignment_spans(text, _uncounted) if span[0] < span[1]), None):
        start, end = span
        name = _NAME.search(text, max(0, start - _NAME_CHARS_MAX), start)
        if name and _is_certain(name[1], text[name.end(1) : start], text[start:end]):
            return _BEHIND_A_NAME
        text = text[start:]
    return ""


def _is_certain(name: str, between: str, value: str) -> bool:
    """Return whether it is no id that only looks alike, such as ``arn:aws:secretsmanager:eu-west-1:1234:secret:db``."""
    if len(value) < _VALUE_CHARS_MIN or not is_secret(name):
        return False
    token = len(value) >= _TOKEN_CHARS_MIN and any(map(str.isdigit, value)) and not value.startswith(_WINDOWS_SID)
    if name.lower() in _AMBIGUOUS_NAMES:
        return token
    if "=" in between or "%3D" in between or ":" not in between:
        return True
    quoted = between.lstrip("\\")[:1] in {'"', "'"}
    return quoted or (between.endswith(" ") and any(map(str.isdigit, value)) and any(map(str.isalpha, value)))
