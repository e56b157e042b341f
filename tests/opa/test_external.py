"""An OPA that is not ours: watched by its canary alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from placet.core.policy_status import EngineMode, PolicyEventKind
from placet.opa.client import OpaClient
from placet.opa.external import ExternalPolicies
from placet.opa.http import Address
from tests.opa.lying_opa import http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from placet.core.policy_status import PolicyEvent
    from tests.opa.lying_opa import LyingOpa

TIMEOUT_SECONDS = 0.2
LOOK_SECONDS = 0.02
WITHIN_SECONDS = 10.0
FINDING = {"effect": "deny", "rule_id": "canary.alive", "reason": "alive", "details": {}}


def canary(revision: str) -> bytes:
    decision = {"effect": "deny", "rule_id": "canary.alive", "findings": [FINDING]}
    return http(orjson.dumps({"provenance": {"bundles": {"b": {"revision": revision}}}, "result": {"0": decision}}))


class Clock:
    """The machine's, and how far wall time was set back."""

    back_us = 0

    def wall_us(self) -> int:
        return time.time_ns() // 1_000 - self.back_us

    def monotonic(self) -> float:
        return time.monotonic()


class Watched:
    """Policies of an external OPA with what they tell."""

    def __init__(self, opa: LyingOpa, expected: str = "") -> None:
        self.events: list[PolicyEvent] = []
        self.clock = Clock()
        client = OpaClient(
            Address.parse(opa.url),
            timeout_seconds=TIMEOUT_SECONDS,
            expected_revision=expected,
            on_failure=lambda _rule_id, _cause: None,
        )
        self.policies = ExternalPolicies(client, {}, self.clock, self._note, TIMEOUT_SECONDS, LOOK_SECONDS)

    async def _note(self, event: PolicyEvent) -> None:
        self.events.append(event)

    @property
    def told(self) -> list[tuple[PolicyEventKind, str]]:
        return [(event.kind, event.revision) for event in self.events]

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            while len(self.events) < count:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(LOOK_SECONDS / 2)
        assert len(self.events) == count


@contextlib.asynccontextmanager
async def watching(opa: LyingOpa, expected: str = "") -> AsyncIterator[Watched]:
    watched = Watched(opa, expected)
    await watched.policies.start()
    running = asyncio.create_task(watched.policies.run())
    yield watched
    running.cancel()
    await asyncio.wait({running})
    await watched.policies.close()
    assert running.cancelled(), "it ended by itself"


async def test_it_comes_and_goes(lying_opa: LyingOpa) -> None:
    lying_opa.always(canary("r1"))
    async with watching(lying_opa) as watched:
        assert watched.told == [(PolicyEventKind.ACTIVATED, "r1")]
        lying_opa.always(http(b"{}", 503))
        await watched.until_told(2)
        assert "pdp.engine_error" in watched.policies.status().last_error
        assert not watched.policies.status().ready
        lying_opa.always(canary("r1"))
        await watched.until_told(3)
        lying_opa.always(canary("r2"))
        await watched.until_told(4)
        assert watched.told[1:] == [
            (PolicyEventKind.NOT_READY, "r1"),
            (PolicyEventKind.READY, "r1"),
            (PolicyEventKind.ACTIVATED, "r2"),
        ]
        status = watched.policies.status()
        assert (status.ready, status.revision, status.last_error) == (True, "r2", "")
        assert status.engine_mode is EngineMode.EXTERNAL


async def test_it_is_not_up_yet_and_why_is_told_once(lying_opa: LyingOpa) -> None:
    asked = 0

    async def down(_body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return b""

    lying_opa.script = down
    async with watching(lying_opa) as watched:
        async with asyncio.timeout(WITHIN_SECONDS):
            while asked < 5:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(LOOK_SECONDS / 2)
        assert watched.told == [(PolicyEventKind.NOT_READY, "")]
        assert "pdp.engine_unavailable" in watched.events[0].detail
        lying_opa.always(canary("r1"))
        await watched.until_told(2)
        assert watched.told[1] == (PolicyEventKind.ACTIVATED, "r1")


@pytest.mark.parametrize("expected", ["r1", "r2"])
async def test_only_the_expected_revision_will_do(lying_opa: LyingOpa, expected: str) -> None:
    lying_opa.always(canary("r1"))
    async with watching(lying_opa, expected) as watched:
        assert watched.policies.status().ready is (expected == "r1")


async def test_only_the_canarys_answer_confirms(lying_opa: LyingOpa) -> None:
    lying_opa.always(canary("r1"))
    async with watching(lying_opa) as watched:
        policy = watched.policies.current()
        confirmed = policy.confirmed_at
        async with asyncio.timeout(WITHIN_SECONDS):
            while policy.confirmed_at == confirmed:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(LOOK_SECONDS / 2)
        watched.clock.back_us = 86_400_000_000  # wall time does not count
        confirmed = policy.confirmed_at
        async with asyncio.timeout(WITHIN_SECONDS):
            while policy.confirmed_at == confirmed:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(LOOK_SECONDS / 2)
        lying_opa.always(http(b"{}", 503))
        await watched.until_told(2)
        confirmed = policy.confirmed_at
        await policy.evaluate([b"{}"])
        assert policy.confirmed_at == confirmed


@pytest.mark.parametrize(
    "answer",
    [
        http(
            b'{"result":{"0":{"effect":"deny","rule_id":"canary.alive","findings":' + b"[" * 900 + b"]" * 900 + b"}}}"
        ),
        http(
            canary("r1")
            .partition(b"\r\n\r\n")[2]
            .replace(b'"details":{}', b'"details":' + b'{"a":' * 400 + b"1" + b"}" * 400)
        ),
        http(b"\xff\xfe"),
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_no_answer_ends_the_watch(lying_opa: LyingOpa, answer: bytes) -> None:
    lying_opa.always(canary("r1"))
    async with watching(lying_opa) as watched:
        lying_opa.always(answer)
        await watched.until_told(2)
        lying_opa.always(canary("r1"))
        await watched.until_told(3)
        assert watched.policies.status().ready
