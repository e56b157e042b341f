"""`verify_webhook` follows the specification: it accepts only recent, unchanged webhooks of the sender."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from placet.notifications.payload import WebhookType, webhook_payload
from placet.sdk import PlacetSdkError, WebhookError, WebhookReason, verify_webhook
from placet.webhooks.signing import headers, read_secrets
from tests.webhooks.receiving import NOW_US, OTHER_SECRET, SECRET, event

NOW = NOW_US // 1_000_000
BODY = webhook_payload(event())
KEYS = read_secrets(SECRET)
SIGNED = headers(event().id, BODY, NOW, KEYS)


def refused(
    headers: dict[str, str] | None = None, body: bytes = BODY, secret: str = SECRET, **more: Any
) -> WebhookReason:
    with pytest.raises(WebhookError) as caught:
        verify_webhook({**SIGNED, **(headers or {})}, body, secret, **{"now": NOW, **more})
    assert str(caught.value).startswith(f"{caught.value.reason}: ")
    return caught.value.reason


def signed(body: Any, event_id: str = event().id) -> tuple[dict[str, str], bytes]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return dict(headers(event_id, text, NOW, KEYS)), text


def test_signatures_follow_the_specification() -> None:
    made = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1_614_265_330, KEYS)
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("kind", list(WebhookType))
def test_the_event_has_the_values_that_were_sent(kind: WebhookType) -> None:
    sent = event(7, kind)
    body = webhook_payload(sent)
    read = verify_webhook(headers(sent.id, body, NOW, KEYS), body, SECRET, now=NOW)
    same = ("id", "type", "tenant", "approval_id", "decision_id", "tool", "agent", "user", "state", "quorum", "rule_id")
    assert [getattr(read, name) for name in same] == [getattr(sent, name) for name in same]
    assert read.time == datetime.fromtimestamp(NOW, UTC)
    assert read.expires_at == datetime.fromtimestamp(NOW + 3_600, UTC)


def test_the_case_of_headers_does_not_matter() -> None:
    assert (
        verify_webhook({name.title(): value for name, value in SIGNED.items()}, BODY, SECRET, now=NOW).id == event().id
    )


def test_the_clock_is_read_if_now_is_none() -> None:
    assert refused(now=None) in {WebhookReason.TOO_OLD, WebhookReason.NOT_YET_VALID}


@pytest.mark.parametrize("name", list(SIGNED))
def test_each_header_is_required(name: str) -> None:
    assert refused({name: ""}) is WebhookReason.HEADER_MISSING


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-id": "other"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "now"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": SIGNED["webhook-signature"].replace("v1,", "v1a,")},
        {"webhook-signature": SIGNED["webhook-signature"].removeprefix("v1,")},
        {"webhook-signature": SIGNED["webhook-signature"] + "x"},
        {"webhook-signature": "v1,\udcff\xff"},
        {"webhook-id": "\udcff"},
    ],
)
def test_changed_headers_are_rejected(headers: dict[str, str]) -> None:
    assert refused(headers) is WebhookReason.BAD_SIGNATURE


def test_another_body_or_secret_is_rejected() -> None:
    assert refused(body=BODY + b" ") is WebhookReason.BAD_SIGNATURE
    assert refused(body=b"") is WebhookReason.BAD_SIGNATURE
    assert refused(secret=OTHER_SECRET) is WebhookReason.BAD_SIGNATURE


def test_one_of_several_signatures_and_secrets_suffices() -> None:
    headers = {**SIGNED, "webhook-signature": f"v1a,AAAA v1,BBBB {SIGNED['webhook-signature']} v2,CCCC"}
    assert verify_webhook(headers, BODY, f"{OTHER_SECRET} {SECRET}", now=NOW).id == event().id


def test_old_and_future_webhooks_are_rejected() -> None:
    assert verify_webhook(SIGNED, BODY, SECRET, 60, now=NOW + 60).id == event().id
    assert verify_webhook(SIGNED, BODY, SECRET, 60, now=NOW - 60).id == event().id
    assert refused(tolerance_seconds=60, now=NOW + 61) is WebhookReason.TOO_OLD
    assert refused(tolerance_seconds=60, now=NOW - 61) is WebhookReason.NOT_YET_VALID
    assert refused(now=float("nan")) is WebhookReason.TOO_OLD


@pytest.mark.parametrize(
    "change",
    [{"id": "other"}, {"quorum": "2"}, {"quorum": True}, {"time": "soon"}, {"time": 1}, {"tenant": None}],
)
def test_a_body_that_is_not_an_event_is_rejected(change: dict[str, Any]) -> None:
    headers, body = signed({**json.loads(BODY), **change})
    assert refused(headers, body) is WebhookReason.MALFORMED


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"nonsense", b"\xff", b"null"])
def test_a_body_that_is_not_an_object_is_rejected(body: bytes) -> None:
    headers, text = signed(body)
    assert refused(headers, text) is WebhookReason.MALFORMED


def test_unknown_members_and_types_are_accepted() -> None:
    headers, body = signed({**json.loads(BODY), "more": 1, "type": "approval.new"})
    assert verify_webhook(headers, body, SECRET, now=NOW).type == "approval.new"


@pytest.mark.parametrize(
    "secret", ["", " ", "whsec_", "whsec_AAAA", "not base64!", "whsec_" + base64.b64encode(b"x" * 23).decode()]
)
def test_an_invalid_secret_raises_value_error(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        verify_webhook(SIGNED, BODY, secret, now=NOW)
    with pytest.raises(ValueError, match="whsec_"):
        read_secrets(secret)


@pytest.mark.parametrize("tolerance", [0, -1, float("nan")])
def test_an_invalid_tolerance_raises_value_error(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance_seconds"):
        verify_webhook(SIGNED, BODY, SECRET, tolerance)


def test_the_secrets_of_the_server_setting_are_checked() -> None:
    assert len(read_secrets(f" {SECRET}  {OTHER_SECRET} ")) == 2
    long = "whsec_" + base64.b64encode(b"x" * 65).decode()
    for wrong in (" ".join([SECRET] * 5), long, SECRET.removeprefix("whsec_"), f"{SECRET},{OTHER_SECRET}"):
        with pytest.raises(ValueError, match="openssl rand") as caught:
            read_secrets(wrong)
        assert wrong[8:24] not in str(caught.value)


def test_webhook_errors_are_sdk_errors() -> None:
    assert issubclass(WebhookError, PlacetSdkError)


def test_only_the_standard_library_is_imported() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "import placet.sdk.webhooks\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules)} & {'jwt', 'cryptography', 'requests'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
