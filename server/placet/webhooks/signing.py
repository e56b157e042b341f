"""Signatures of deliveries, after the Standard Webhooks specification: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import WEBHOOK_SECRETS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins is none
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
MAKE_ONE: Final = 'echo "whsec_$(openssl rand -base64 32)"'


def read_secrets(text: str) -> tuple[bytes, ...]:
    """``whsec_`` and base64 of 24 to 64 bytes, one or more with spaces between. ValueError tells nothing of them."""
    words = text.split()
    if not 1 <= len(words) <= WEBHOOK_SECRETS_MAX:
        raise ValueError(f"must be 1 to {WEBHOOK_SECRETS_MAX} secrets with spaces between; make one with: {MAKE_ONE}")
    return tuple(_key(word) for word in words)


def headers(event_id: str, body: bytes, sent_at: int, keys: Sequence[bytes]) -> Mapping[str, str]:
    """The headers that prove the delivery: a signature by each key. `sent_at` is seconds since the Unix epoch."""
    signed = b"%b.%d.%b" % (event_id.encode(), sent_at, body)
    signatures = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }


def _key(word: str) -> bytes:
    wrong = (
        f"must be {SECRET_PREFIX} and base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes; make one: {MAKE_ONE}"
    )
    if not word.startswith(SECRET_PREFIX):
        raise ValueError(wrong)
    try:
        key = base64.b64decode(word.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(wrong) from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(wrong)
    return key
