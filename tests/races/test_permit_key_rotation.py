"""Permit keys rotated under load: each permit verifies at every replica, and offline with the keys of any of them."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from placet.kernel.limits import JWKS_CACHE_SECONDS, PERMIT_KEY_LEAD_SECONDS, SHARED_KEYS_LOOK_SECONDS
from placet.sdk import (
    Action,
    CallFailedError,
    Client,
    Identity,
    KeyClient,
    KeyState,
    PermitError,
    PermitKeys,
    verify_permit,
)
from placet.sdk.errors import PermitReason
from tests.faults.serving import eventually
from tests.keys.key_env import kek
from tests.postgres import postgres
from tests.races.fleet import Fleet, check_whole
from tests.races.load_clients import LoadClients
from tests.races.tenant import READ, TENANT, races_rego

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.races.load_clients import Caller

ACTION: Final = Action(READ, {"path": "a"})
IDENTITY: Final = Identity("racer", TENANT)
AFTER_SECONDS: Final = 8
"""More than a client waits between two fetches of the keys, and far less than the lead, so that the test is short."""
BUSY_SECONDS: Final = 60.0
CALLERS: Final = 4


def jwks_url(fleet: Fleet, name: str) -> str:
    [event] = fleet.servers[name].events("serving http")
    return f"{event['address']}/.well-known/jwks.json"


def published(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=BUSY_SECONDS) as answer:  # noqa: S310 - the test's server
        return [key["kid"] for key in json.loads(answer.read())["keys"]]


@dataclass
class Traffic:
    """Callers that get permits from one address, verify each offline with keys from another, and report it there."""

    addresses: list[str]
    urls: list[str]
    key_ids: dict[str, int] = field(default_factory=dict)

    def work(self, caller: Caller, clients: LoadClients) -> None:
        number = caller.first
        keys = PermitKeys.from_url(self.urls[number % len(self.urls)], timeout=BUSY_SECONDS)
        own, other = self.addresses[number % len(self.addresses)], self.addresses[(number + 1) % len(self.addresses)]
        with (
            Client(own, timeout=BUSY_SECONDS, on_failure="raise") as asks,
            Client(other, timeout=BUSY_SECONDS, on_failure="raise") as reports,
        ):
            while not clients.ended.is_set():
                decision = asks.authorize(ACTION, IDENTITY, include_permit=True)
                permit = verify_permit(decision.permit, ACTION, keys, identity=IDENTITY)
                self.key_ids[permit.key_id] = self.key_ids.get(permit.key_id, 0) + 1
                reports.report_outcome(decision, "succeeded", permit=decision.permit)


def check_rotation(fleet: Fleet, urls: list[str], figure: Callable[[str], None]) -> None:
    """Rotate under load, and check that no permit was refused before, during and after it."""
    traffic = Traffic(fleet.addresses, urls)
    with (
        KeyClient(fleet.addresses[0], timeout=BUSY_SECONDS) as keys,
        LoadClients(fleet.addresses, CALLERS, traffic.work) as clients,
    ):

        def signed_by(key_id: str) -> bool:
            """Return whether a permit of the key was verified. Raises what went wrong."""
            clients.raise_error()
            return key_id in traffic.key_ids

        [first] = keys.list()
        eventually(lambda: signed_by(first.id), BUSY_SECONDS, "a permit of the first key")
        second = keys.rotate_permit_key(actor="ann", reason="a test", after_seconds=AFTER_SECONDS)
        answered_at = time.monotonic()
        assert second.state is KeyState.WAITS
        for url in urls:
            eventually(lambda url=url: second.id in published(url), BUSY_SECONDS, "published")  # type: ignore[misc]
        seen_seconds = time.monotonic() - answered_at
        eventually(lambda: signed_by(second.id), BUSY_SECONDS, "a permit of the second key")
        third = keys.rotate_permit_key(actor="ann", reason="again", after_seconds=AFTER_SECONDS)
        eventually(lambda: signed_by(third.id), BUSY_SECONDS, "a permit of the third key")
    counts = " + ".join(map(str, traffic.key_ids.values()))
    figure(f"{counts} permits of three keys verified, a new key published by all after {seen_seconds:.2f} s")
    assert list(traffic.key_ids) == [first.id, second.id, third.id]
    assert all(published(url) == [first.id, second.id, third.id] for url in urls)


def check_withdrawal(fleet: Fleet, urls: list[str]) -> None:
    """Withdraw the keys, and check that their permits are soon refused everywhere."""
    with Client(fleet.addresses[0], timeout=BUSY_SECONDS) as asks:
        permit = asks.authorize(ACTION, IDENTITY, include_permit=True).permit
    with KeyClient(fleet.addresses[0], timeout=BUSY_SECONDS) as keys:
        new = keys.rotate_permit_key(actor="ann", reason="stolen", withdraw=True)
    for url in urls:
        eventually(lambda url=url: published(url) == [new.id], BUSY_SECONDS, "withdrawn")  # type: ignore[misc]
        fetched = PermitKeys.from_url(url, timeout=BUSY_SECONDS)
        with pytest.raises(PermitError) as refused:
            verify_permit(permit, ACTION, fetched, identity=IDENTITY)
        assert refused.value.reason == PermitReason.UNKNOWN_KEY


def flags() -> dict[str, object]:
    return {"permit_key_encryption_key": kek(), "http_listen": "127.0.0.1:0", "log_level": "info"}


@pytest.fixture
def replicas(tmp_path: Path, postgres_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, races_rego(tmp_path), {"a": postgres_url, "b": postgres_url}, **flags()) as made:
        yield made


@pytest.mark.timeout(300)
def test_two_replicas(replicas: Fleet, figure: Callable[[str], None]) -> None:
    urls = [jwks_url(replicas, "b"), jwks_url(replicas, "a")]
    assert published(urls[0]) == published(urls[1])
    check_rotation(replicas, urls, figure)
    check_withdrawal(replicas, urls)
    replicas.kill("b")
    replicas.start("b")
    assert published(jwks_url(replicas, "b")) == published(urls[1]), (
        "a replica that starts takes the keys that it finds"
    )
    check_whole(replicas, chains=2)


@pytest.mark.timeout(300)
def test_workers_on_sqlite(tmp_path: Path, figure: Callable[[str], None]) -> None:
    with Fleet(tmp_path, races_rego(tmp_path), {"a": ""}, workers=2, **flags()) as fleet:
        urls = [jwks_url(fleet, "a")]
        check_rotation(fleet, urls, figure)
        check_withdrawal(fleet, urls)
        check_whole(fleet)


@pytest.mark.timeout(300)
def test_a_rotation_while_the_database_is_away(tmp_path: Path) -> None:
    """It is refused and changes nothing, and the public keys are served on."""
    with postgres() as server:
        url = server.url(server.new_database())
        with Fleet(tmp_path, races_rego(tmp_path), {"a": url, "b": url}, **flags()) as fleet:
            urls = [jwks_url(fleet, name) for name in fleet.names]
            before = published(urls[0])
            server.stop("fast")
            with KeyClient(fleet.addresses[0], timeout=BUSY_SECONDS) as keys:
                with pytest.raises(CallFailedError) as refused:
                    keys.rotate_permit_key(actor="ann", reason="a test")
                assert refused.value.failure.error == "LEDGER_UNAVAILABLE"
                assert [published(each) for each in urls] == [before, before]
                server.start()
                fleet.healthy()
                assert [key.id for key in keys.list()] == before
                made = keys.rotate_permit_key(actor="ann", reason="again", after_seconds=1)
            for each in urls:
                eventually(lambda each=each: published(each) == [*before, made.id], BUSY_SECONDS)  # type: ignore[misc]
            check_whole(fleet, chains=2)


def test_every_cache_has_a_key_before_it_signs() -> None:
    assert SHARED_KEYS_LOOK_SECONDS + JWKS_CACHE_SECONDS < PERMIT_KEY_LEAD_SECONDS
