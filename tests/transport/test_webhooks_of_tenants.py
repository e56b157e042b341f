"""Webhooks of an authenticated server: each event is of one tenant, and no caller of another one causes or reads it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.sdk import WebhookError, WebhookReason, verify_webhook
from tests.serving import settings
from tests.transport.authenticated import Callers, NamedPrincipals, serving_to
from tests.transport.tenant_isolation import ATTACKER, POLICY, SECRET, VICTIM, WIRE
from tests.transport.test_authenticated_isolation import everything_in, of_the_victim
from tests.transport.test_isolation import action
from tests.transport.wire import Refusal
from tests.webhooks.receiving import SECRET as WEBHOOK_SECRET
from tests.webhooks.receiving import receiving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.sdk import WebhookEvent
    from tests.webhooks.receiving import ReceivedRequest, Receiver

AUTHENTICATOR = NamedPrincipals(
    {
        "owner": everything_in(VICTIM, f"owner-{SECRET}"),
        "keeper": everything_in(VICTIM, f"keeper-{SECRET}"),
        "mallory": everything_in(ATTACKER, "mallory"),
        "accomplice": everything_in(ATTACKER, "accomplice"),
    }
)
PERSON_CALLS = {"ApproveAction": {}, "RejectAction": {"reason": "r"}, "CancelApproval": {"reason": "r"}}
SECONDS_MAX = 60.0


class Site:
    """A server with two tenants, and the receiver of its webhooks."""

    def __init__(self, callers: Callers, receiver: Receiver) -> None:
        self.ask = callers.ask
        self._receiver = receiver

    def requested(self, name: str, request: dict[str, Any]) -> str:
        """Return the id of the approval that an action needs."""
        approval_id: str = self.ask(name, "AuthorizationService.Authorize", **request).decision.approval.id
        assert approval_id
        return approval_id

    def received(self, count: int) -> list[ReceivedRequest]:
        deadline = time.monotonic() + SECONDS_MAX
        while len(self._receiver.requests) < count:
            assert time.monotonic() < deadline, "the webhooks do not arrive"
            time.sleep(0.05)
        return list(self._receiver.requests)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with receiving() as receiver:
        chosen = settings(
            tmp_path_factory.mktemp("webhooks"),
            webhook_url=receiver.url,
            webhook_secret=WEBHOOK_SECRET,
            webhook_allow_private_networks=True,
        )
        for tenant in (VICTIM, ATTACKER):
            (chosen.rego_dir / "config" / f"{tenant}.yaml").write_text(POLICY)
        with serving_to(AUTHENTICATOR, chosen) as server:
            callers = Callers(server)
            yield Site(callers, receiver)
            callers.channel.close()


@pytest.fixture(scope="module")
def deliveries(site: Site) -> list[ReceivedRequest]:
    """What arrives while the attacker tries to cause events about the victim's approval."""
    request = of_the_victim(action(WIRE, idempotency_key="of the victim"))
    request["identity"]["user"] = f"user-{SECRET}"
    theirs = site.requested("owner", request)
    mine = site.requested("mallory", action(WIRE, idempotency_key="of the attacker"))
    for tenant, code in ((VICTIM, grpc.StatusCode.PERMISSION_DENIED), (ATTACKER, grpc.StatusCode.NOT_FOUND)):
        for method, more in PERSON_CALLS.items():
            refused = site.ask("mallory", f"ApprovalService.{method}", tenant=tenant, approval_id=theirs, **more)
            assert refused.code is code
    site.ask("mallory", "AuthorizationService.Authorize", **action(WIRE, approval_id=theirs, idempotency_key="stolen"))
    voided = {"person": f"keeper-{SECRET}", "reason": "r", "tenant": ATTACKER}
    assert not isinstance(site.ask("mallory", "ApprovalService.VoidVotes", **voided), Refusal)
    for name, tenant, approval_id in (("accomplice", ATTACKER, mine), ("keeper", VICTIM, theirs)):
        approved = site.ask(name, "ApprovalService.ApproveAction", tenant=tenant, approval_id=approval_id)
        assert not isinstance(approved, Refusal)
    return site.received(4)


def events(deliveries: list[ReceivedRequest]) -> list[WebhookEvent]:
    return [verify_webhook(each.headers, each.body, WEBHOOK_SECRET) for each in deliveries]


def test_each_event_names_its_tenant_and_nothing_of_another_one(deliveries: list[ReceivedRequest]) -> None:
    assert sorted((each.tenant, each.type) for each in events(deliveries)) == [
        (ATTACKER, "approval.approved"),
        (ATTACKER, "approval.created"),
        (VICTIM, "approval.approved"),
        (VICTIM, "approval.created"),
    ]
    of_attacker = [each.body for each in deliveries if f'"{ATTACKER}"'.encode() in each.body]
    assert len(of_attacker) == 2
    assert not [body for body in of_attacker if SECRET.encode() in body or VICTIM.encode() in body]
    assert not [each for each in deliveries if b"account-" in each.body], "no event has parameters"


def test_an_approval_has_the_events_of_its_own_tenant_alone(deliveries: list[ReceivedRequest]) -> None:
    tenants: dict[str, set[str]] = {}
    for each in events(deliveries):
        tenants.setdefault(each.approval_id, set()).add(each.tenant)
    assert sorted(map(list, tenants.values())) == [[ATTACKER], [VICTIM]]


def test_a_delivery_cannot_be_replayed_as_another_one(deliveries: list[ReceivedRequest]) -> None:
    """Sent again it has its id, which receivers store. Later, changed, or under other headers it is refused."""
    first, other = deliveries[:2]
    read = verify_webhook(first.headers, first.body, WEBHOOK_SECRET)
    assert verify_webhook(first.headers, first.body, WEBHOOK_SECRET).id == read.id
    with pytest.raises(WebhookError) as old:
        verify_webhook(first.headers, first.body, WEBHOOK_SECRET, now=time.time() + 301)
    assert old.value.reason is WebhookReason.TOO_OLD
    moved = first.body.replace(read.tenant.encode(), b"another")
    fresh = changed_header(first.headers, "webhook-timestamp", str(int(time.time()) + 2))
    renamed = changed_header(first.headers, "webhook-id", verify_webhook(other.headers, other.body, WEBHOOK_SECRET).id)
    forged = [(first.headers, other.body), (first.headers, moved), (fresh, first.body), (renamed, first.body)]
    for headers, body in forged:
        with pytest.raises(WebhookError) as changed:
            verify_webhook(headers, body, WEBHOOK_SECRET)
        assert changed.value.reason is WebhookReason.BAD_SIGNATURE


def changed_header(headers: dict[str, str], name: str, value: str) -> dict[str, str]:
    assert name in {each.lower() for each in headers}
    return {each: value if each.lower() == name else text for each, text in headers.items()}
