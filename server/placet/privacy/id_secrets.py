"""Secrets in ids: names of agents, users and roles, keys, runs. They are compared, counted and stored as they are.

A secret in a text is redacted; an id cannot be, since a counter or a kill switch would mean another one. So it is
refused, and only for what is certain: an id is often an e-mail address, a long number, a UUID, an ARN or a URI.
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
"""Detector -> what it finds. Those of addresses, phones and accounts are left out: users are called so."""
_SURE: Final = tuple(detector for detector in DETECTORS if detector.name in _KINDS)
_MARKS: Final = re.compile(r"[= \"'<%\uff1d]|[0-9]{4}-[0-9]{4}")
"""Without any of these there is neither a name with its value, nor a card number in groups, nor a scheme."""
_PREFIXES: Final = (
    *("://", "sk-", "sk_", "rk_", "whsec_", "AIza", "glpat-", "npm_", "eyJ", "AKIA", "ASIA", "xox", "xapp-"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hooks.slack", "SG.", "dop_v1_", "hf_"),
)
"""Each token that is known by its form holds one of these, and has _TOKEN_CHARS_MIN characters at least."""
_BEHIND_A_NAME: Final = "a value behind a secret name (password, token and the like)"
_CARD: Final = re.compile(
    r"(?<![0-9])(?<![0-9][ -])[2-6][0-9]{3}([ -])"
    r"(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?|[0-9]{6}\1[0-9]{4,5})(?![0-9]|[ -][0-9])"
)
"""A card number in its groups; sixteen digits in a row may be any id."""
_NAME: Final = re.compile(r"([\w.\-]+)(?:%3D|[^\w])*\Z", re.ASCII | re.IGNORECASE)
_NAME_CHARS_MAX: Final = 64
_SAID_OF_MUCH: Final = frozenset({"auth", "authentication", "credential", "cred", "pass", "sid"})
"""Names that also stand before words: ``auth=oidc``, ``sid=S-1-5-21``."""
_VALUE_CHARS_MIN: Final = 4
_TOKEN_CHARS_MIN: Final = 12
_KEY_CHARS_MIN: Final = 16
"""So long is the longest part between hyphens of a key that begins with ``sk-``, at least."""
_WINDOWS_SID: Final = "S-1-"


def secret_in_id(value: str) -> str:
    """What kind of secret an id holds for certain, "" for none. Never the secret itself."""
    text = plain(value)
    if not _MARKS.search(text) and (len(text) < _TOKEN_CHARS_MIN or not any(prefix in text for prefix in _PREFIXES)):
        return ""
    for detector in _SURE:
        if _found(detector, text):
            return _KINDS[detector.name]
    if any(is_card("".join(filter(str.isdigit, match[0]))) for match in _CARD.finditer(text)):
        return "a payment card number"
    if any(start < end for start, end in form_spans(text, _nothing)):
        return _BEHIND_A_NAME
    return _assigned(text)


def _found(detector: Detector, text: str) -> bool:
    """Whether it finds something that is no piece of a longer word."""
    if detector.hints and not any(hint in text for hint in detector.hints):
        return False
    spans = [span for span in detector.spans(text, _nothing) if span[0] < span[1]]
    return any(not text[start - 1 : start].isalnum() and not _is_spelled(text[start:end]) for start, end in spans)


def _is_spelled(found: str) -> bool:
    """Whether it only looks like a key of OpenAI's form: a name in short words, as ``sk-learn-trainer-agent-7``."""
    return found.startswith("sk-") and max(map(len, found.split("-"))) < _KEY_CHARS_MIN


def _nothing() -> None:
    """An id is short: nothing needs to be counted."""


def _assigned(text: str) -> str:
    """The kind of a value that stands behind its secret name."""
    while span := next((span for span in assignment_spans(text, _nothing) if span[0] < span[1]), None):
        start, end = span
        name = _NAME.search(text, max(0, start - _NAME_CHARS_MAX), start)
        if name and _is_certain(name[1], text[name.end(1) : start], text[start:end]):
            return _BEHIND_A_NAME
        text = text[start:]
    return ""


def _is_certain(name: str, between: str, value: str) -> bool:
    """Whether it is no id that only looks like it, such as ``arn:aws:secretsmanager:eu-west-1:1234:secret:db``."""
    if len(value) < _VALUE_CHARS_MIN or not is_secret(name):
        return False
    token = len(value) >= _TOKEN_CHARS_MIN and any(map(str.isdigit, value)) and not value.startswith(_WINDOWS_SID)
    if name.lower() in _SAID_OF_MUCH:
        return token
    if "=" in between or "%3D" in between or ":" not in between:
        return True
    quoted = between.lstrip("\\")[:1] in {'"', "'"}
    return quoted or (between.endswith(" ") and any(map(str.isdigit, value)) and any(map(str.isalpha, value)))
