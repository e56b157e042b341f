"""Signs webhooks as the Standard Webhooks specification requires: HMAC-SHA256 over id, time and body.

`placet.sdk.verify_webhook` is the counterpart for receivers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import WEBHOOK_SECRETS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public beginning of every secret
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
GENERATE_COMMAND: Final = 'echo "whsec_$(openssl rand -base64 32)"'
"""A shell command that prints a new secret."""


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Return the keys of one or more secrets, separated by spaces.

    A secret is ``whsec_`` and the base64 of 24 to 64 bytes. Raises ValueError; its text never holds a secret.
    """
    secrets = text.split()
    if not 1 <= len(secrets) <= WEBHOOK_SECRETS_MAX:
        raise ValueError(
            f"must be 1 to {WEBHOOK_SECRETS_MAX} secrets, separated by spaces; generate one with: {GENERATE_COMMAND}"
        )
    return tuple(_key(secret) for secret in secrets)


def headers(event_id: str, body: bytes, sent_at: int, keys: Sequence[bytes]) -> Mapping[str, str]:
    """Return the headers of a delivery, with one signature for each key.

    `sent_at` is in seconds since the Unix epoch.
    """
    signed = b"%b.%d.%b" % (event_id.encode(), sent_at, body)
    signatures = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    expected = (
        f"must be {SECRET_PREFIX} and base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes; "
        f"generate one with: {GENERATE_COMMAND}"
    )
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(expected)
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(expected) from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(expected)
    return key
