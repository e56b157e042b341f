"""Names of keys, headers and query parameters whose values are secret, in any spelling.

A name is split into words (`dbPassword`, `DB_PASSWORD` and `db-password` are all "db password"), and its last words
tell what its value is. `password_reset_url` is a URL and `max_tokens` a count; `tokenValue` and `cvv2` are secrets.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from placet.privacy.plain_text import as_latin, plain_latin
from placet.privacy.text_scan import contains_any

FOREIGN: Final = (
    *("contrasena", "kennwort", "losenord", "lozinka", "haslo", "heslo", "jelszo", "parola", "passord", "salasana"),
    *("senha", "sifre", "wachtwoord", "adgangskode", "zugangscode", "geheimzahl"),
)
"""Words for password in the languages most used on the web, without accents. `clave` is excluded: it also means key."""
FOREIGN_FORMS: Final = (
    *(
        "пароль",
        "κωδικος",
        "パスワード",
        "暗証番号",
        "密码",
        "密碼",
        "口令",
        "비밀번호",
        "암호",
        "סיסמה",
        "รหัสผ่าน",
        "पासवर्ड",
    ),
    *("كلمة المرور", "كلمة السر"),
)
"""The same in other alphabets. A name that contains one is secret: not all languages put blanks between words."""
WORDS: Final = frozenset(
    {
        *("apikey", "authorization", "auth", "authentication", "bearer", "cookie", "credential", "cred", "csrf"),
        *("cvc", "cvv", "jwt", "otp", "totp", "passcode", "passphrase", "passwd", "passwort", "password", "pin"),
        *("privatekey", "pwd", "secret", "secretkey", "accesskey", "setcookie", "sid", "ssn", "token", "xsrf"),
        *("cardnumber", "ccnumber", "creditcard", "signature"),
        *("mnemonic", "pass", "pw", "jsessionid", "phpsessid", "sessionid"),
        *FOREIGN,
    }
)
"""A name that ends in one of these words is secret."""
PAIRS: Final = frozenset(
    {
        *((first, "key") for first in ("api", "access", "account", "auth", "deploy", "encryption", "hmac", "master")),
        *((first, "key") for first in ("gpg", "pgp", "private", "secret", "shared", "signing", "ssh", "storage")),
        *((first, "code") for first in ("access", "auth", "authorization", "backup", "mfa", "otp", "pass", "pin")),
        *((first, "code") for first in ("recovery", "security", "sms", "verification")),
        *((first, "number") for first in ("card", "cc", "national", "passport", "security")),
        *(("credit", "card"), ("debit", "card"), ("social", "security"), ("tax", "id"), ("national", "id")),
        *(("national", "insurance"), ("pass", "word"), ("pass", "phrase"), ("client", "assertion")),
        *(("de", "passe"), ("mat", "khau"), ("kata", "sandi")),
        *(("session", "id"), ("session", "key"), ("seed", "phrase"), ("recovery", "phrase")),
    }
)
"""A name that ends in one of these pairs of words is secret."""
TAILS: Final = ("password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "secretkey", "cookie")
"""A name whose last word ends in one of these is secret: `dbpassword`."""
QUALIFIERS: Final = frozenset(
    {
        *("value", "values", "text", "plain", "plaintext", "raw", "hash", "hashed", "base", "b64", "hex", "string"),
        *("str", "data", "header", "headers", "number", "no", "num", "digits", "new", "old", "current", "previous"),
        *("confirm", "confirmation", "encrypted", "env"),
    }
)
"""Last words that do not tell what the value is."""
PUBLIC: Final = frozenset(
    {
        *((first, "token") for first in ("page", "continuation", "sync", "cursor", "delta", "next", "eos", "bos")),
        *((first, "cookie") for first in ("accept",)),
    }
)
"""Last two words of names that are not secret."""
COUNTING: Final = frozenset(
    {
        *(
            "max",
            "min",
            "num",
            "count",
            "total",
            "limit",
            "used",
            "budget",
            "per",
            "input",
            "output",
            "prompt",
            "tokens",
        ),
        *("completion", "usage", "cached", "reasoning", "remaining"),
    }
)
"""A number under a name with one of these words is a count."""
URL_NAMES: Final = frozenset({"sig", "signature", "code", "key", "hmac", "hash", "state", "assertion", "credential"})
"""Names that are secret only in the query of a URL: a signed link, an authorization code, a key of a map service."""

NAMING: Final = frozenset({"name", "key", "header", "field", "param", "parameter", "variable"})
"""Members that name another member's value, as in ``{"name": "Authorization", "value": "..."}``."""
VALUES: Final = frozenset({"value", "values", "val", "content", "data", "text"})
"""Members that hold the value that another member names."""
PAIR_VALUE_CHARS_MIN: Final = 16
"""From this length on a plain word after a secret name is its value, not another name in a list of names."""

NAME_CHARS_MAX: Final = 96
"""Only the end of a longer name is examined."""
STEMS: Final = (
    *("assertion", "auth", "bearer", "card", "code", "cookie", "cred", "csrf", "cvc", "cvv", "hash", "hmac", "jwt"),
    *("key", "national", "number", "otp", "pass", "pin", "pwd", "secret", "sid", "sig", "social", "ssn", "state"),
    *("mnemonic", "phrase", "pw", "sess", "tax", "token", "xsrf"),
    *(word for word in FOREIGN if word not in {"passord", "zugangscode"}),
    *("khau", "sandi", "w0rd", "p4s", "pa5", "t0ken", "tok3n", "t0k3n", "s3cret", "secr3t", "s3cr3t"),
)
"""Each secret name contains one of these, so a quick search dismisses most names."""
_LEET: Final = str.maketrans("013457", "oleast")
"""Digits that replace letters, as in passw0rd."""
_PAIR: Final = 2
_REDACTED: Final = "[redacted:"
_LOOK_CHARS: Final = 4 * NAME_CHARS_MAX
"""Characters from the end of a long name that are converted to plain form: some of them may be invisible."""
_STEM: Final = re.compile("|".join(STEMS), re.IGNORECASE | re.ASCII)
_has_stem: Final = contains_any(STEMS)
_FOREIGN_FORM: Final = re.compile("|".join(as_latin(form).casefold() for form in FOREIGN_FORMS))
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def may_be_secret(name: str) -> bool:
    """Return whether the name needs closer examination: a quick search that dismisses most names.

    The same of a text that holds names: whether one of them may be secret.
    """
    if name.isascii():
        return _has_stem(name.lower())
    end = _end(name)
    return _STEM.search(end) is not None or _FOREIGN_FORM.search(end.casefold()) is not None


@lru_cache(maxsize=1_024)
def is_secret(name: str, *, in_url: bool = False) -> bool:
    """Return whether a value under this name is secret."""
    end = _end(name)
    if not end.isascii() and _FOREIGN_FORM.search(end.casefold()):
        return True
    words = _words(end)
    if not words:
        return False
    if in_url and words[-1] in URL_NAMES:
        return True
    return _is_secret(words) or _is_leet(end)


def _is_leet(end: str) -> bool:
    """Return whether it is a secret name with digits for letters. Digits at its end do not count."""
    name = end.rstrip("0123456789").lower()
    letters = name.translate(_LEET)
    if letters == name:
        return False
    words = _words(letters)
    return bool(words) and words[-1].endswith(TAILS) and tuple(words[-2:]) not in PUBLIC


def _is_secret(words: list[str]) -> bool:
    while words:
        last_two = tuple(words[-2:])
        if last_two in PUBLIC:
            return False
        last = words[-1]
        if last in WORDS or last_two in PAIRS or last.endswith(TAILS):
            return True
        if last not in QUALIFIERS:
            return False
        words.pop()
    return False


def named_secret(members: dict[str, object]) -> str:
    """Return the secret name that a member of the object gives to another member's value; empty for none."""
    for key, value in members.items():
        if type(value) is str and key.lower() in NAMING and _names_secret(value):
            return value
    return ""


def _names_secret(text: str) -> bool:
    """Return whether a text is a secret name. A redacted text is not, so that redacting again changes nothing."""
    return may_be_secret(text) and _REDACTED not in text and is_secret(text)


def is_secret_pair(items: list[object]) -> bool:
    """Return whether the list is a secret name with its value, as ``["Authorization", "..."]``, not a list of names."""
    if len(items) != _PAIR:
        return False
    name, value = items
    if type(name) is not str or type(value) is not str or not value or not _names_secret(name):
        return False
    if len(value) >= PAIR_VALUE_CHARS_MIN or not value.replace("-", "_").isidentifier():
        return True
    return any(map(str.isdigit, value)) and not is_secret(value)


def counts(name: str) -> bool:
    """Return whether a number under this name is a count, as in ``max_tokens``."""
    return not COUNTING.isdisjoint(word for word in _WORD.findall(_end(name).lower()))


def _end(name: str) -> str:
    """Return the end of the name in plain form, with letters that look Latin in their Latin form."""
    return plain_latin(name[-_LOOK_CHARS:])[-NAME_CHARS_MAX:]


def _words(end: str) -> list[str]:
    """Return the words of a name's end in lower case and singular."""
    words = (word.lower() for word in _WORD.findall(end))
    return [word[:-1] if word.endswith("s") and word[:-1] in _SINGULARS else word for word in words]


_SINGULARS: Final = WORDS | {"key", "code", "number", "header", "value", "card"}
