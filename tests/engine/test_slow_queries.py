"""A query that takes too long: the inputs that cause it are found, and the others get their verdicts."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import TYPE_CHECKING, Final

import orjson
import psutil
import pytest

from placet.engine.client import ISOLATION_QUERIES, OpaClient, longest_evaluation_seconds
from placet.engine.connections import IDLE_MAX, Connections
from placet.engine.http import Address
from placet.engine.patience import USUAL_TIMES, Patience
from placet.engine.process import OpaProcess
from placet.kernel import rule_ids
from placet.kernel.limits import OPA_QUERY_BYTES_MAX
from placet.kernel.model import Indeterminate, Verdict
from tests.engine.lying_opa import LyingOpa, decisions, http

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_SECONDS: Final = 0.2
TIMEOUT_SECONDS: Final = 1.0
SLOW: Final = b'{"slow":"%b"}' % (b"x" * 100)
QUICK: Final = b'{"quick":1}'


def client_of(opa: LyingOpa, failures: list[str], patience: Patience | None = None) -> OpaClient:
    return OpaClient(
        Address.parse(opa.url),
        timeout_seconds=TIMEOUT_SECONDS,
        expected_revision="r1",
        on_failure=lambda rule_id, _cause: failures.append(rule_id),
        patience=patience or Patience(PATIENCE_SECONDS, TIMEOUT_SECONDS),
    )


def answers_quick_ones(opa: LyingOpa, *, healthy: bool = True) -> None:
    """Let OPA answer batches without a slow input, and its health."""

    async def script(body: bytes) -> bytes:
        if b"slow" in body or not (body or healthy):
            await asyncio.Event().wait()
        return http(decisions(len(orjson.loads(body)["input"]["batch"]))) if body else http(b"{}")

    opa.script = script


def asked(opa: LyingOpa) -> list[list[str]]:
    """Return the keys of the inputs of each query."""
    return [[next(iter(each)) for each in orjson.loads(body)["input"]["batch"]] for body in opa.bodies if body]


async def test_a_slow_input_is_found_and_its_neighbours_get_their_verdicts(lying_opa: LyingOpa) -> None:
    answers_quick_ones(lying_opa)
    failures: list[str] = []
    client = client_of(lying_opa, failures)
    verdicts = await client.evaluate([QUICK, SLOW, QUICK])
    client.close()
    assert [type(verdict) for verdict in verdicts] == [Verdict, Indeterminate, Verdict]
    assert isinstance(verdicts[1], Indeterminate)
    assert (verdicts[1].rule_id, verdicts[1].slow) == (rule_ids.ENGINE_TIMEOUT, True)
    assert asked(lying_opa) == [["quick", "slow", "quick"], ["quick"], ["quick"], ["slow"]]
    assert not failures, "no deny results from it"


async def test_a_slow_input_alone_is_not_asked_twice(lying_opa: LyingOpa) -> None:
    answers_quick_ones(lying_opa)
    client = client_of(lying_opa, [])
    [verdict] = await client.evaluate([SLOW])
    client.close()
    assert isinstance(verdict, Indeterminate)
    assert verdict.slow
    assert asked(lying_opa) == [["slow"]]


async def test_many_slow_inputs_leave_no_quick_one_without_its_verdict(lying_opa: LyingOpa) -> None:
    answers_quick_ones(lying_opa)
    client = client_of(lying_opa, [])
    inputs = [SLOW, QUICK] * 3 * ISOLATION_QUERIES
    began = time.monotonic()
    verdicts = await client.evaluate(inputs)
    client.close()
    assert [isinstance(verdict, Verdict) for verdict in verdicts] == [False, True] * 3 * ISOLATION_QUERIES
    assert time.monotonic() - began < PATIENCE_SECONDS + TIMEOUT_SECONDS + 1


async def test_a_stuck_opa_is_no_slow_input(lying_opa: LyingOpa) -> None:
    answers_quick_ones(lying_opa, healthy=False)
    failures: list[str] = []
    client = client_of(lying_opa, failures)
    began = time.monotonic()
    verdicts = await client.evaluate([SLOW, QUICK])
    client.close()
    assert time.monotonic() - began < TIMEOUT_SECONDS + 0.5, "no longer than the time limit"
    assert [(each.rule_id, each.slow) for each in verdicts if isinstance(each, Indeterminate)] == [
        (rule_ids.ENGINE_TIMEOUT, False)
    ] * 2
    assert failures == [rule_ids.ENGINE_TIMEOUT]


async def test_singly_each_input_has_the_whole_time_limit(lying_opa: LyingOpa) -> None:
    async def script(body: bytes) -> bytes:
        if b"slow" in body:
            await asyncio.sleep(2 * PATIENCE_SECONDS)
        return http(decisions(1))

    lying_opa.script = script
    client = client_of(lying_opa, [])
    verdicts = await client.evaluate_singly([SLOW, QUICK])
    client.close()
    assert [type(verdict) for verdict in verdicts] == [Verdict, Verdict]
    assert asked(lying_opa) == [["quick"], ["slow"]], "the smallest first"


async def test_singly_a_timeout_is_a_reported_failure(lying_opa: LyingOpa) -> None:
    answers_quick_ones(lying_opa)
    failures: list[str] = []
    client = client_of(lying_opa, failures)
    [verdict] = await client.evaluate_singly([SLOW])
    client.close()
    assert isinstance(verdict, Indeterminate)
    assert (verdict.rule_id, verdict.slow) == (rule_ids.ENGINE_TIMEOUT, False)
    assert failures == [rule_ids.ENGINE_TIMEOUT]


def test_patience_grows_where_all_queries_are_slow() -> None:
    patience = Patience(0.05, 0.25)
    assert patience.seconds == 0.05
    for _ in range(200):
        patience.learn(0.02)
    assert patience.seconds == pytest.approx(USUAL_TIMES * 0.02, rel=0.01)
    for _ in range(200):
        patience.learn(0.2)
    assert patience.seconds == 0.25, "never beyond the time limit"


async def test_a_slow_input_is_found_also_where_all_queries_are_slow(lying_opa: LyingOpa) -> None:
    answers_quick_ones(lying_opa)
    patience = Patience.within(TIMEOUT_SECONDS)
    for _ in range(200):
        patience.learn(TIMEOUT_SECONDS)
    failures: list[str] = []
    client = client_of(lying_opa, failures, patience)
    verdicts = await client.evaluate([QUICK, SLOW, QUICK])
    client.close()
    assert [type(verdict) for verdict in verdicts] == [Verdict, Indeterminate, Verdict]
    assert not failures, "no deny results from it"


@pytest.mark.parametrize("singly", [False, True])
async def test_no_evaluation_takes_longer_than_the_longest(lying_opa: LyingOpa, *, singly: bool) -> None:
    """Every portion fails, and then every input takes the whole time limit."""

    async def script(body: bytes) -> bytes:
        if len(orjson.loads(body)["input"]["batch"]) == 1:
            await asyncio.Event().wait()
        return http(b"{}")

    lying_opa.script = script
    timeout = 0.1
    client = OpaClient(
        Address.parse(lying_opa.url), timeout_seconds=timeout, expected_revision="r1", on_failure=lambda *_: None
    )
    inputs = [b'"%b"' % (b"x" * (OPA_QUERY_BYTES_MAX // 5))] * 24
    began = time.monotonic()
    verdicts = await (client.evaluate_singly if singly else client.evaluate)(inputs)
    took = time.monotonic() - began
    client.close()
    assert [verdict.rule_id for verdict in verdicts] == [rule_ids.ENGINE_TIMEOUT] * len(inputs)
    assert took < longest_evaluation_seconds(timeout)


async def test_a_batch_without_a_slow_input_makes_the_next_one_wait_longer(lying_opa: LyingOpa) -> None:
    async def script(body: bytes) -> bytes:
        batch = len(orjson.loads(body)["input"]["batch"]) if body else 0
        await asyncio.sleep(2 * PATIENCE_SECONDS if batch > 1 else 0)
        return http(decisions(batch)) if body else http(b"{}")

    lying_opa.script = script
    client = client_of(lying_opa, [])
    for _ in range(12):
        assert [type(verdict) for verdict in await client.evaluate([QUICK, QUICK])] == [Verdict, Verdict]
    client.close()
    assert asked(lying_opa)[:3] == [["quick", "quick"], ["quick"], ["quick"]]
    assert asked(lying_opa)[-2:] == [["quick", "quick"]] * 2


async def test_idle_connections_are_bounded(lying_opa: LyingOpa) -> None:
    lying_opa.always(http(b"{}"))
    connections = Connections(Address.parse(lying_opa.url))
    await asyncio.gather(*(connections.request("GET", "/health") for _ in range(3 * IDLE_MAX)))
    assert len(connections) == IDLE_MAX
    connections.close()
    assert len(connections) == 0


ENDLESS: Final = """package placet.main

decisions[index] := {"effect": "deny", "rule_id": "a.b", "findings": []} if {
	some index, _ in input.batch
	count([1 | some a in numbers.range(1, 4000); some b in numbers.range(1, 4000); a * b == 7]) > 0
}
"""


@pytest.fixture
def endless(tmp_path: Path, opa: Path) -> bytes:
    """A bundle that evaluates for many seconds."""
    (tmp_path / "rego").mkdir()
    (tmp_path / "rego/main.rego").write_text(ENDLESS)
    bundle = tmp_path / "endless.tar.gz"
    subprocess.run([opa, "build", "-b", tmp_path / "rego", "--revision", "r1", "-o", bundle], check=True)
    return bundle.read_bytes()


async def test_opa_stops_an_evaluation_whose_connection_is_closed(opa: Path, endless: bytes, tmp_path: Path) -> None:
    process = OpaProcess.start(opa, endless, tmp_path / "opa.log")
    measured = psutil.Process(process.pid)

    def cpu() -> float:
        now = measured.cpu_times()
        return now.user + now.system

    try:
        connections = Connections(process.address)
        while not await connections.answers(0.1):  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.02)
        began = cpu()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await connections.request("POST", "/v1/data/placet/main/decisions", b'{"input":{"batch":[{}]}}')
        assert cpu() > began + 0.1, "it was evaluating"
        await asyncio.sleep(0.2)
        stopped = cpu()
        await asyncio.sleep(1)
        assert cpu() < stopped + 0.1, "it evaluates no longer"
    finally:
        await process.stop()
