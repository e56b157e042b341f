"""Webhooks: verify that Placet sent one, and read it. Needs only the standard library.

The signature follows the Standard Webhooks specification, so libraries for that specification can verify it, too.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from placet.sdk.errors import WebhookError, WebhookReason

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLERANCE_SECONDS: Final = 300.0
"""Maximum age of a webhook, and accepted difference between the clocks of sender and receiver."""
_PREFIX: Final = "whsec_"
_SECRET_BYTES_MIN: Final = 24
_SIGNATURE_PREFIX: Final = "v1,"
_Member = TypeVar("_Member", str, int)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A change of an approval. Times are in UTC."""

    id: str
    """Id of the event. A webhook with the same id can arrive more than once: it is the same event."""
    type: str
    """``approval.created``, ``.approved``, ``.rejected``, ``.expired``, ``.cancelled``, ``.used`` or ``.reopened``.

    Later versions of Placet can send further types: ignore those that you do not know.
    """
    time: datetime
    """When the approval changed."""
    tenant: str
    approval_id: str
    decision_id: str
    """The decision that requires the approval."""
    tool: str
    agent: str
    user: str
    state: str
    """State of the approval after the change."""
    quorum: int
    """Number of distinct people who must approve."""
    expires_at: datetime
    rule_id: str
    """The rule that requires the approval."""


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    *,
    now: float | None = None,
) -> WebhookEvent:
    """Verify that a webhook is from Placet, recent and unchanged, and return its event.

    ::

        event = verify_webhook(request.headers, request.body, os.environ["WEBHOOK_SECRET"])

    Args:
        headers: Headers of the HTTP request. Their case does not matter.
        body: Body of the HTTP request, byte for byte, before it is parsed.
        secret: The server's setting `webhook_secret`. It can hold several secrets, separated by spaces; one suffices.
        tolerance_seconds: Maximum age of the webhook in seconds, more than 0.
        now: Current time in seconds since the epoch. None reads the clock.

    Raises:
        WebhookError: If the webhook is not authentic. `reason` is the stable id of the cause.
        ValueError: If `secret` or `tolerance_seconds` is invalid.
    """
    if not tolerance_seconds > 0:
        raise ValueError(f"tolerance_seconds must be above 0, not {tolerance_seconds!r}")
    keys = [_decode_secret(word) for word in secret.split()]
    if not keys:
        raise ValueError("secret is empty")
    lower_case = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp, signatures = (_header(lower_case, name) for name in ("id", "timestamp", "signature"))
    signed = b"%b.%b.%b" % (event_id.encode(errors="replace"), timestamp.encode(errors="replace"), body)
    if not _is_signed(signed, signatures, keys):
        raise WebhookError(WebhookReason.BAD_SIGNATURE, "no signature is by the secret")
    _check_time(timestamp, time.time() if now is None else now, tolerance_seconds)
    event = _parse_event(body)
    if event.id != event_id:
        raise WebhookError(WebhookReason.MALFORMED, "the id in the body is not the id in the header")
    return event


def _is_signed(signed: bytes, signatures: str, keys: list[bytes]) -> bool:
    """Tell whether one of the signatures is by one of the keys. Signatures of other versions are ignored."""
    received = [
        signature.removeprefix(_SIGNATURE_PREFIX).encode(errors="replace")
        for signature in signatures.split(" ")
        if signature.startswith(_SIGNATURE_PREFIX)
    ]
    expected = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    # A list, not a generator: comparing all of them takes the same time whichever matches.
    return any([hmac.compare_digest(one, other) for one in expected for other in received])  # noqa: C419


def _check_time(timestamp: str, now: float, tolerance: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise WebhookError(WebhookReason.MALFORMED, "webhook-timestamp is not a number of seconds")
    age = now - float(timestamp)
    if not age <= tolerance:
        raise WebhookError(WebhookReason.TOO_OLD, f"it was sent {age:.0f} s ago")
    if not age >= -tolerance:
        raise WebhookError(WebhookReason.NOT_YET_VALID, f"it was sent {-age:.0f} s in the future")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"webhook-{name}", "")
    if not value:
        raise WebhookError(WebhookReason.HEADER_MISSING, f"the header webhook-{name} is missing")
    return value


def _decode_secret(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if len(key) < _SECRET_BYTES_MIN:
        raise ValueError(f"secret must be {_PREFIX} and base64 of {_SECRET_BYTES_MIN} bytes or more")
    return key


def _parse_event(body: bytes) -> WebhookEvent:
    try:
        event = json.loads(body)
    except ValueError:
        raise WebhookError(WebhookReason.MALFORMED, "its body is not JSON") from None
    if not isinstance(event, dict):
        raise WebhookError(WebhookReason.MALFORMED, "its body is not a JSON object")
    return WebhookEvent(
        id=_member(event, "id", str),
        type=_member(event, "type", str),
        time=_time(event, "time"),
        tenant=_member(event, "tenant", str),
        approval_id=_member(event, "approval_id", str),
        decision_id=_member(event, "decision_id", str),
        tool=_member(event, "tool", str),
        agent=_member(event, "agent", str),
        user=_member(event, "user", str),
        state=_member(event, "state", str),
        quorum=_member(event, "quorum", int),
        expires_at=_time(event, "expires_at"),
        rule_id=_member(event, "rule_id", str),
    )


def _time(event: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromisoformat(_member(event, name, str))
    except ValueError:
        raise WebhookError(WebhookReason.MALFORMED, f"{name} is not a time") from None


def _member(event: Mapping[str, Any], name: str, kind: type[_Member]) -> _Member:
    value = event.get(name)
    if type(value) is not kind:
        raise WebhookError(WebhookReason.MALFORMED, f"{name} is missing or has the wrong type")
    return value
