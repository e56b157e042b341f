"""An OPA that is not ours: watched by its canary alone."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from placet.engine.client import OpaClient
from placet.engine.external import ExternalPolicies
from placet.engine.http import Address
from placet.revisions.status import EngineMode, PolicyEventKind
from placet.tenants.policy import TenantPolicy
from tests.engine.lying_opa import http
from tests.support.running_policies import run_policies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from placet.revisions.status import PolicyEvent
    from tests.engine.lying_opa import LyingOpa

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

    def __init__(
        self,
        opa: LyingOpa,
        expected: str = "",
        agent_policies: Mapping[str, TenantPolicy] | None = None,
        age_seconds_max: float = math.inf,
    ) -> None:
        self.events: list[PolicyEvent] = []
        self.clock = Clock()
        client = OpaClient(
            Address.parse(opa.url),
            timeout_seconds=TIMEOUT_SECONDS,
            expected_revision=expected,
            on_failure=lambda _rule_id, _cause: None,
        )
        self.policies = ExternalPolicies(
            client, agent_policies or {}, self.clock, self._note, TIMEOUT_SECONDS, LOOK_SECONDS, age_seconds_max
        )

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
async def watching(
    opa: LyingOpa,
    expected: str = "",
    agent_policies: Mapping[str, TenantPolicy] | None = None,
    age_seconds_max: float = math.inf,
) -> AsyncIterator[Watched]:
    watched = Watched(opa, expected, agent_policies, age_seconds_max)
    async with run_policies(watched.policies):
        yield watched


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


def knows(opa: LyingOpa, *tools: str) -> None:
    """It answers the canary, and that it finds a tool listed nowhere unless it is one of these."""

    async def script(body: bytes) -> bytes:
        batch = orjson.loads(body)["input"]["batch"]
        if batch[0]["action"]["tool"] == "placet.canary":
            return canary("r1")
        found = [
            [] if each["action"]["tool"] in tools else [{**FINDING, "rule_id": "allowlist.unlisted_tool"}]
            for each in batch
        ]
        result = {str(index): {"effect": "deny", "rule_id": "x", "findings": each} for index, each in enumerate(found)}
        return http(orjson.dumps({"provenance": {"bundles": {"b": {"revision": "r1"}}}, "result": result}))

    opa.script = script


async def test_an_opa_that_serves_another_policy_than_the_files_is_not_ready(lying_opa: LyingOpa) -> None:
    policies = {
        "acme": TenantPolicy(allowed_tools=("jira.search",)),
        "globex": TenantPolicy(write_tools=("pay",), approvals={"pay": "required"}),
        "hooli": TenantPolicy(),
    }
    knows(lying_opa, "jira.search")
    async with watching(lying_opa, agent_policies=policies) as watched:
        status = watched.policies.status()
        assert not status.ready
        assert "does not list the tool pay of the tenant globex" in status.last_error
        assert watched.told == [(PolicyEventKind.NOT_READY, "")]
        knows(lying_opa, "jira.search", "pay")
        await watched.until_told(2)
        assert watched.policies.status().ready


async def test_it_grows_old_while_it_does_not_answer_rightly(lying_opa: LyingOpa) -> None:
    lying_opa.always(canary("r1"))
    async with watching(lying_opa, age_seconds_max=0.5) as watched:
        assert watched.policies.status().decides_until_us == 0
        lying_opa.always(http(b"{}", 503))
        await watched.until_told(2)
        status = watched.policies.status()
        assert status.unseen_since_us > 0
        assert status.decides_until_us == pytest.approx(status.confirmed_at_us + 500_000, abs=100_000)
        async with asyncio.timeout(WITHIN_SECONDS):
            while not watched.policies.status().stale:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(LOOK_SECONDS)
        lying_opa.always(canary("r1"))
        await watched.until_told(3)
        status = watched.policies.status()
        assert (status.stale, status.unseen_since_us, status.refused_since_us) == (False, 0, 0)


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
        http(canary("r1").partition(b"\r\n\r\n")[2].replace(b'"details":{}', b'"details":' + b"[" * 400 + b"]" * 400)),
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
