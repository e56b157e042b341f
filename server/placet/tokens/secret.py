"""The text of an access token: ``placet_``, 256 random bits, and a checksum, in letters and digits.

The checksum tells a token that was cut off or mistyped from one that is unknown, and lets secret scanners recognize
tokens without asking a server. Only the SHA-256 of the text is stored: the text is random, so a slow hash adds nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from typing import Final

TOKEN_PREFIX: Final = "placet_"  # noqa: S105 - secret scanners find tokens by it
SECRET_CHARS: Final = 43
"""Letters and digits that hold 256 bits."""
CHECKSUM_CHARS: Final = 6
"""Letters and digits that hold a CRC-32."""
TOKEN_CHARS: Final = len(TOKEN_PREFIX) + SECRET_CHARS + CHECKSUM_CHARS
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BITS: Final = 256


def new_token() -> str:
    """Return the text of a new access token."""
    secret = _base62(secrets.randbits(_BITS), SECRET_CHARS)
    return TOKEN_PREFIX + secret + _checksum(secret)


def is_well_formed(token: str) -> bool:
    """Return whether a text has the form of an access token, checksum included."""
    secret = token[len(TOKEN_PREFIX) : -CHECKSUM_CHARS]
    return len(token) == TOKEN_CHARS and token.isascii() and token == TOKEN_PREFIX + secret + _checksum(secret)


def digest_of(token: str) -> str:
    """Return what is stored of a token: its SHA-256 in hex."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _checksum(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()), CHECKSUM_CHARS)


def _base62(number: int, chars: int) -> str:
    digits = []
    for _ in range(chars):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
