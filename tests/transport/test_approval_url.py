"""Answers that require an approval name the page on which people approve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet import sdk
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

REPLY = sdk.Action("zendesk.reply", {"body": "Dear Ann, 5 EUR"})
AGENT = sdk.Identity("a", "acme", "u_1")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    template = "https://approvals.example.com/{tenant}/{approval_id}"
    with serving(settings(tmp_path_factory.mktemp("page"), approval_url=template)) as server:
        yield server.address


def test_each_way_to_ask_gets_the_url_also_again(address: str) -> None:
    with sdk.Client(address) as client:
        first = client.authorize(REPLY, AGENT, idempotency_key="k")
        again = client.authorize(REPLY, AGENT, idempotency_key="k")
        batch = client.authorize_batch([sdk.Request(REPLY, AGENT)])
    for decision in (first, again, *batch):
        assert decision.approval is not None
        assert decision.approval.id
        assert decision.approval.url == f"https://approvals.example.com/acme/{decision.approval.id}"
    assert again == first


def test_an_allow_has_no_approval(address: str) -> None:
    with sdk.Client(address) as client:
        assert client.authorize(sdk.Action("jira.search", {}), AGENT).approval is None


def test_the_trail_holds_no_url(address: str) -> None:
    with sdk.Client(address) as client, sdk.AuditClient(address) as audit:
        decision = client.authorize(REPLY, AGENT)
        held = audit.get("acme", decision.decision_id)
    assert held is not None
    assert held.decision.approval is not None
    assert held.decision.approval.url == ""


def test_by_default_there_is_no_url(placet_server: Server) -> None:
    with sdk.Client(placet_server.address) as client:
        decision = client.authorize(REPLY, AGENT)
    assert decision.approval is not None
    assert decision.approval.url == ""
