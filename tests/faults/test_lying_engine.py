"""An external OPA that lies: whatever it answers, nothing is allowed by it, and the trail says what it did."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from placet.engine.canary import CANARY_RULE_ID, CANARY_TOOL
from placet.kernel.limits import OPA_ANSWER_BYTES_MAX
from placet.sdk import Action, AsyncClient, Identity, Run
from placet.server.build import open_server
from tests.engine.lying_opa import LyingOpa, decisions, http
from tests.serving import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from placet.sdk import Decision
    from placet.server.core import RunningServer

READ = Action("jira.search", {"query": "x"})
AGENT = Identity(agent="triage-agent", tenant="acme")
TIMEOUT_MS = 300
PATIENT_TIMEOUT_MS = 10_000
"""For engines that do answer: the largest lie takes a busy machine longer than TIMEOUT_MS."""
FINDING = {"effect": "deny", "rule_id": CANARY_RULE_ID, "reason": "alive", "details": {}}
ALIVE = {"effect": "deny", "rule_id": CANARY_RULE_ID, "findings": [FINDING]}


@pytest.fixture
async def lying_opa(tmp_path: Path) -> AsyncIterator[LyingOpa]:
    async with LyingOpa(tmp_path / "opa.sock").listening() as opa:
        yield opa


def canary(revision: str = "r1") -> bytes:
    return http(orjson.dumps({"provenance": {"bundles": {"b": {"revision": revision}}}, "result": {"0": ALIVE}}))


def honest_to_the_canary(opa: LyingOpa, lie: Callable[[bytes], Awaitable[bytes]]) -> None:
    async def script(body: bytes) -> bytes:
        return canary() if CANARY_TOOL.encode() in body else await lie(body)

    opa.script = script


def always(answer: bytes) -> Callable[[bytes], Awaitable[bytes]]:
    async def script(_body: bytes) -> bytes:
        return answer

    return script


@contextlib.asynccontextmanager
async def serving(opa: LyingOpa, data_dir: Path, **changes: Any) -> AsyncIterator[tuple[RunningServer, AsyncClient]]:
    chosen = settings(data_dir, **{"opa_address": opa.url, "opa_timeout_ms": TIMEOUT_MS, **changes})
    async with open_server(chosen) as server, AsyncClient(server.address, timeout=10) as client:
        yield server, client


async def stored(server: RunningServer, decision: Decision) -> tuple[str, str]:
    found = await server.ledger.get_decision("acme", decision.decision_id)
    assert found is not None
    return found.decision.effect.value, found.decision.rule_id


async def never(_body: bytes) -> bytes:
    await asyncio.Event().wait()
    return b""


@pytest.mark.parametrize(
    ("lie", "rule_id"),
    [
        pytest.param(always(b""), "pdp.engine_unavailable", id="hangs up"),
        pytest.param(always(b"\x00\xffgarbage\r\n\r\n"), "pdp.engine_unavailable", id="no HTTP"),
        pytest.param(never, "pdp.engine_timeout", id="silent"),
        pytest.param(always(http(b"{}", 500)), "pdp.engine_error", id="500"),
        pytest.param(always(http(decisions(1), 500)), "pdp.engine_error", id="an allow, but 500"),
        pytest.param(always(http(b"allow")), "pdp.answer_invalid", id="no JSON"),
        pytest.param(always(http(b"true")), "pdp.answer_invalid", id="true"),
        pytest.param(always(http(b'{"result":true}')), "pdp.answer_invalid", id="no provenance"),
        pytest.param(always(http(decisions(0))), "pdp.undefined", id="nothing said of this one"),
        pytest.param(always(http(decisions(2))), "pdp.answer_invalid", id="of one that was not asked about"),
        pytest.param(always(http(decisions(1, ""))), "pdp.answer_invalid", id="no revision"),
        pytest.param(always(http(decisions(1).replace(b"a.b", b"pdp.ok"))), "pdp.answer_invalid", id="pdp id"),
        pytest.param(always(http(b" " * (OPA_ANSWER_BYTES_MAX + 1))), "pdp.answer_invalid", id="huge"),
    ],
)
async def test_no_lie_allows(
    lying_opa: LyingOpa, tmp_path: Path, lie: Callable[[bytes], Awaitable[bytes]], rule_id: str
) -> None:
    honest_to_the_canary(lying_opa, lie)
    timeout_ms = TIMEOUT_MS if lie is never else PATIENT_TIMEOUT_MS
    async with serving(lying_opa, tmp_path, opa_timeout_ms=timeout_ms) as (server, client):
        assert server.policies.status().ready
        decision = await client.authorize(READ, AGENT)
        assert (decision.effect.value, decision.rule_id, decision.failure) == ("deny", rule_id, None)
        assert await stored(server, decision) == ("deny", rule_id)
        honest_to_the_canary(lying_opa, always(http(decisions(1))))
        allowed = await client.authorize(READ, AGENT)
        assert (allowed.effect.value, allowed.rule_id, allowed.policy_revision) == ("allow", "a.b", "r1")


async def test_a_wrong_answer_about_one_does_not_deny_its_neighbours(lying_opa: LyingOpa, tmp_path: Path) -> None:
    async def chokes(body: bytes) -> bytes:
        asked = len(orjson.loads(body)["input"]["batch"])
        return http(b"{}", 500) if b"poison" in body else http(decisions(asked))

    honest_to_the_canary(lying_opa, chokes)
    async with serving(lying_opa, tmp_path) as (server, client):
        actions = [Action("jira.search", {"query": "poison" if number == 3 else "x"}) for number in range(8)]
        told = await asyncio.gather(*(client.authorize(action, AGENT) for action in actions))
        assert Counter(each.rule_id for each in told) == {"a.b": 7, "pdp.engine_error": 1}
        assert told[3].rule_id == "pdp.engine_error"
        assert (await server.ledger.verify()).ok


async def test_each_decision_names_the_revision_that_made_it(lying_opa: LyingOpa, tmp_path: Path) -> None:
    honest_to_the_canary(lying_opa, always(http(decisions(1, "r2"))))
    async with serving(lying_opa, tmp_path) as (server, client):
        assert server.policies.status().revision == "r1"
        decision = await client.authorize(READ, AGENT)
        assert decision.policy_revision == "r2"
        found = await server.ledger.get_decision("acme", decision.decision_id)
        assert found is not None
        assert found.decision.policy_revision == "r2"


async def test_the_wrong_revision_denies(lying_opa: LyingOpa, tmp_path: Path) -> None:
    honest_to_the_canary(lying_opa, always(http(decisions(1, "r2"))))
    async with serving(lying_opa, tmp_path, opa_required_revision="r1") as (_, client):
        assert (await client.authorize(READ, AGENT)).rule_id == "pdp.answer_invalid"


async def test_an_opa_that_no_longer_answers_the_canary_goes_stale(lying_opa: LyingOpa, tmp_path: Path) -> None:
    lying_opa.always(canary())
    async with serving(lying_opa, tmp_path, max_policy_age_seconds=1) as (server, client):
        lying_opa.always(http(decisions(1)))  # allows whatever is asked, the canary too
        async with asyncio.timeout(10):
            while (decision := await client.authorize(READ, AGENT)).rule_id != "pdp.policy_stale":
                assert decision.rule_id == "a.b"
        assert not server.policies.status().ready
        honest_to_the_canary(lying_opa, always(http(decisions(1))))
        async with asyncio.timeout(10):
            while (decision := await client.authorize(READ, AGENT)).rule_id != "a.b":
                assert decision.rule_id == "pdp.policy_stale"
        assert server.policies.status().ready


ATOMS: tuple[Any, ...] = (None, True, 0, -1, 1e300, "", "allow", "deny", "a.b", "r1", [], {}, "\ud7ff", 2**63)


def mutated(value: Any, chance: random.Random) -> Any:
    """A JSON value in which something is left out, put elsewhere or replaced."""
    if chance.random() < 0.08:
        return chance.choice(ATOMS)
    if isinstance(value, dict):
        kept = {key: mutated(each, chance) for key, each in value.items() if chance.random() > 0.04}
        return kept if chance.random() > 0.04 else {**kept, chance.choice(("x", "0", "1")): chance.choice(ATOMS)}
    if isinstance(value, list):
        return [mutated(each, chance) for each in value] * chance.choice((0, 1, 1, 1, 2))
    return value


def fuzzed(asked: int, chance: random.Random) -> bytes:
    """An answer of an OPA that means to allow, spoilt as JSON, as bytes, as HTTP, or not at all."""
    body = orjson.dumps(mutated(orjson.loads(decisions(asked)), chance))
    kind = chance.random()
    if kind < 0.1:
        place = chance.randrange(len(body) + 1)
        body = body[:place] + chance.randbytes(chance.randrange(4)) + body[place + chance.randrange(4) :]
    answer = http(body, chance.choice((200, 200, 200, 200, 204, 404, 500)))
    if kind > 0.96:
        place = chance.randrange(len(answer) + 1)
        return answer[:place] + chance.randbytes(chance.randrange(9))
    return answer


async def check_fuzzed_answers(opa: LyingOpa, data_dir: Path, count: int) -> None:
    chance = random.Random(count)
    sent: dict[str, list[bytes]] = {}

    async def lie(body: bytes) -> bytes:
        batch = orjson.loads(body)["input"]["batch"]
        answer = fuzzed(len(batch), chance)
        for each in batch:
            sent.setdefault(each["run"]["run_id"], []).append(answer)
        return answer

    honest_to_the_canary(opa, lie)
    async with serving(opa, data_dir, opa_timeout_ms=100) as (server, client):
        allowed = 0
        for number in range(count):
            run_id = f"run-{number}"
            decision = await client.authorize(READ, AGENT, run=Run(run_id=run_id))
            assert decision.failure is None
            assert await stored(server, decision) == (decision.effect.value, decision.rule_id)
            if decision.effect.value == "allow":
                allowed += 1
                assert b'"effect":"allow"' in sent[run_id][-1]
                assert b"HTTP/1.1 200 " in sent[run_id][-1]
            else:
                assert decision.rule_id.startswith("pdp.")
        assert 0 < allowed < count
        assert not server.background.done()
        assert (await server.ledger.verify()).ok


async def test_fuzzed_answers_through_the_whole_server(lying_opa: LyingOpa, tmp_path: Path) -> None:
    await check_fuzzed_answers(lying_opa, tmp_path, 100)


@pytest.mark.soak
async def test_many_fuzzed_answers_through_the_whole_server(lying_opa: LyingOpa, tmp_path: Path) -> None:
    await check_fuzzed_answers(lying_opa, tmp_path, 20_000)
