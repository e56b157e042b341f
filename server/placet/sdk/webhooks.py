"""What a webhook tells, for whoever receives it: verified first. Standard library only.

The signature follows the Standard Webhooks specification, so its libraries verify these webhooks as well.
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
"""How old a webhook may be, and how far the clocks of sender and receiver may differ."""
_PREFIX: Final = "whsec_"
_SECRET_BYTES_MIN: Final = 24
_VERSION: Final = "v1,"
_Kind = TypeVar("_Kind", str, int)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An approval changed. The same `id` may come more than once: it is the same event.

    `type` is ``approval.`` and ``created``, ``approved``, ``rejected``, ``expired``, ``cancelled``, ``used`` or
    ``reopened``; there may be more one day. `state` is where the approval stood then. `decision_id` is the decision
    that asked for it.
    """

    id: str
    type: str
    time: datetime
    tenant: str
    approval_id: str
    decision_id: str
    tool: str
    agent: str
    user: str
    state: str
    quorum: int
    expires_at: datetime
    rule_id: str


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    *,
    now: float | None = None,
) -> WebhookEvent:
    """What the webhook tells, when it was sent by who has the secret, lately, and is as it was sent.

    ::

        event = verify_webhook(request.headers, request.body, os.environ["WEBHOOK_SECRET"])

    `body` is as it came, byte for byte, before anything parsed it. `secret` is the server's setting `webhook_secret`;
    of several, with spaces between, one is enough. `now` is seconds of the epoch, by default the clock's.
    Raises WebhookError, whose `reason` says why it is not to be believed; ValueError when `secret` is none, and when
    `tolerance_seconds` is not above 0.
    """
    if not tolerance_seconds > 0:
        raise ValueError(f"tolerance_seconds must be above 0, not {tolerance_seconds!r}")
    keys = [_key(word) for word in secret.split()]
    if not keys:
        raise ValueError("secret is empty")
    said = {name.lower(): value for name, value in headers.items()}
    event_id, sent_at, signatures = (_header(said, name) for name in ("id", "timestamp", "signature"))
    signed = b"%b.%b.%b" % (event_id.encode(errors="replace"), sent_at.encode(errors="replace"), body)
    if not _signed(signed, signatures, keys):
        raise WebhookError(WebhookReason.BAD_SIGNATURE, "no signature is by the secret")
    _check_time(sent_at, time.time() if now is None else now, tolerance_seconds)
    event = _event(body)
    if event.id != event_id:
        raise WebhookError(WebhookReason.MALFORMED, "its id is not the header's")
    return event


def _signed(signed: bytes, signatures: str, keys: list[bytes]) -> bool:
    """Whether one of the signatures is by one of the keys. What is of another version is passed over."""
    given = [
        each.removeprefix(_VERSION).encode(errors="replace")
        for each in signatures.split(" ")
        if each.startswith(_VERSION)
    ]
    ours = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    return any([hmac.compare_digest(one, other) for one in ours for other in given])  # noqa: C419 - all are compared


def _check_time(sent_at: str, now: float, tolerance: float) -> None:
    if not (sent_at.isascii() and sent_at.isdigit()):
        raise WebhookError(WebhookReason.MALFORMED, "webhook-timestamp is no number of seconds")
    age = now - float(sent_at)
    if not age <= tolerance:
        raise WebhookError(WebhookReason.TOO_OLD, f"it was sent {age:.0f} s ago")
    if not age >= -tolerance:
        raise WebhookError(WebhookReason.NOT_YET_VALID, f"it was sent {-age:.0f} s in the future")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"webhook-{name}", "")
    if not value:
        raise WebhookError(WebhookReason.HEADER_MISSING, f"there is no header webhook-{name}")
    return value


def _key(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if len(key) < _SECRET_BYTES_MIN:
        raise ValueError(f"secret must be {_PREFIX} and base64 of {_SECRET_BYTES_MIN} bytes or more")
    return key


def _event(body: bytes) -> WebhookEvent:
    try:
        said = json.loads(body)
    except ValueError:
        raise WebhookError(WebhookReason.MALFORMED, "its body is no JSON") from None
    if not isinstance(said, dict):
        raise WebhookError(WebhookReason.MALFORMED, "its body is no JSON object")
    return WebhookEvent(
        id=_member(said, "id", str),
        type=_member(said, "type", str),
        time=_time(said, "time"),
        tenant=_member(said, "tenant", str),
        approval_id=_member(said, "approval_id", str),
        decision_id=_member(said, "decision_id", str),
        tool=_member(said, "tool", str),
        agent=_member(said, "agent", str),
        user=_member(said, "user", str),
        state=_member(said, "state", str),
        quorum=_member(said, "quorum", int),
        expires_at=_time(said, "expires_at"),
        rule_id=_member(said, "rule_id", str),
    )


def _time(said: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromisoformat(_member(said, name, str))
    except ValueError:
        raise WebhookError(WebhookReason.MALFORMED, f"{name} is no time") from None


def _member(said: Mapping[str, Any], name: str, kind: type[_Kind]) -> _Kind:
    value = said.get(name)
    if type(value) is not kind:
        raise WebhookError(WebhookReason.MALFORMED, f"{name} is missing or of another kind")
    return value
