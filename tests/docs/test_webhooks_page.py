"""docs/how-to/webhooks.md lists types, reasons, members and figures, and its example works."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from placet.kernel import limits
from placet.notifications.payload import WebhookType, webhook_payload
from placet.sdk import WebhookReason
from placet.sdk.webhooks import TOLERANCE_SECONDS
from placet.webhooks.signing import GENERATE_COMMAND, headers, read_secrets
from tests.docs.blocks import blocks
from tests.docs.tables import DOCS, by_name
from tests.webhooks.receiving import SECRET, event

if TYPE_CHECKING:
    import pytest

PAGE = DOCS / "how-to/webhooks.md"
TEXT = " ".join(PAGE.read_text().split())


def test_every_type_has_its_row_and_no_other() -> None:
    assert by_name(PAGE, "Events").keys() == {kind.value for kind in WebhookType}


def test_every_reason_and_header_has_its_row_and_no_other() -> None:
    sent = headers("id", b"", 0, read_secrets(SECRET))
    documented = by_name(PAGE, "Verify without the SDK").keys()
    assert documented == {reason.value for reason in WebhookReason} | set(sent)


def test_the_body_that_is_shown_has_the_members_that_are_sent() -> None:
    [shown] = [json.loads(block.text) for block in blocks(PAGE) if block.language == "json"]
    assert list(shown) == list(json.loads(webhook_payload(event())))


def test_figures() -> None:
    assert f"after {limits.WEBHOOK_WAIT_SECONDS_MIN} seconds, each further wait twice as long" in TEXT
    assert limits.WEBHOOK_WAIT_SECONDS_MAX == 3_600
    assert limits.WEBHOOK_AGE_SECONDS_MAX == 24 * 3_600
    assert f"After 24 hours or {limits.WEBHOOK_TRIES_MAX} tries" in TEXT
    assert f"the time-out and {limits.WEBHOOK_CLAIM_SECONDS} seconds more" in TEXT
    assert f"by default {TOLERANCE_SECONDS:g}:" in TEXT
    assert TOLERANCE_SECONDS == 5 * 60
    assert GENERATE_COMMAND.removeprefix("echo ") in PAGE.read_text()


def test_the_receiver_that_is_shown_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    [shown] = [block.text for block in blocks(PAGE) if block.language == "python"]
    names: dict[str, Any] = {}
    exec(compile(shown, str(PAGE), "exec"), names)  # noqa: S102 - it is the page's own
    monkeypatch.setenv("PLACET_WEBHOOK_SECRET", SECRET)
    body = webhook_payload(event())
    sent = dict(headers(event().id, body, int(time.time()), read_secrets(SECRET)))
    assert names["received"](sent, body) == 204
    assert capsys.readouterr().out.startswith("acme: refund-agent asks for stripe.refund: ")
    assert names["received"](sent, body + b" ") == 401
