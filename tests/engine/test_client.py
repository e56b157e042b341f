"""Every way in which OPA can fail to answer becomes its own `pdp.*` id; one bad input does not deny its neighbours."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from placet.engine.canary import canary_error
from placet.engine.client import OpaClient
from placet.engine.http import Address, Connection, ConnectionFailedError
from placet.kernel.limits import OPA_ANSWER_BYTES_MAX, OPA_QUERY_BYTES_MAX
from placet.kernel.model import Indeterminate, Verdict
from tests.engine.lying_opa import LyingOpa, decisions, http

TIMEOUT_SECONDS = 1.0


def client_of(opa: LyingOpa, failures: list[str] | None = None) -> OpaClient:
    noted = [] if failures is None else failures
    return OpaClient(
        Address.parse(opa.url),
        timeout_seconds=TIMEOUT_SECONDS,
        expected_revision="r1",
        on_failure=lambda rule_id, _cause: noted.append(rule_id),
    )


async def ask_one(opa: LyingOpa) -> str:
    client = client_of(opa)
    [verdict] = await client.evaluate([b"{}"])
    client.close()
    return verdict.rule_id


async def test_a_batch_is_one_query(lying_opa: LyingOpa) -> None:
    lying_opa.always(http(decisions(3)))
    client = client_of(lying_opa)
    verdicts = await client.evaluate([b'{"a":1}', b'{"b":2}', b'{"c":3}'])
    assert [type(verdict) for verdict in verdicts] == [Verdict] * 3
    assert [orjson.loads(body) for body in lying_opa.bodies] == [{"input": {"batch": [{"a": 1}, {"b": 2}, {"c": 3}]}}]
    client.close()


async def test_a_query_is_bounded_by_bytes_and_a_failed_one_denies_no_other(lying_opa: LyingOpa) -> None:
    async def answer(body: bytes) -> bytes:
        batch = orjson.loads(body)["input"]["batch"]
        if "bad" in batch[0]:
            return http(b"oops", 500)
        return http(decisions(len(batch)))

    lying_opa.script = answer
    client = client_of(lying_opa)
    text = "x" * (OPA_QUERY_BYTES_MAX // 2 - 20)
    inputs = [orjson.dumps({"bad" if number == 2 else "a": text}) for number in range(5)]
    inputs.append(orjson.dumps({"large": "x" * OPA_QUERY_BYTES_MAX}))
    verdicts = await client.evaluate(inputs)
    assert [type(each) for each in verdicts] == [Verdict, Verdict, Indeterminate, Verdict, Verdict, Verdict]
    asked = [[next(iter(each)) for each in orjson.loads(body)["input"]["batch"]] for body in lying_opa.bodies]
    assert asked == [["a", "a"], ["bad", "a"], ["bad"], ["a"], ["a"], ["large"]]
    client.close()


async def test_chunked_answers_are_read(lying_opa: LyingOpa) -> None:
    body = decisions(1)
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    lying_opa.always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert await ask_one(lying_opa) == "a.b"


@pytest.mark.parametrize(
    ("raw", "rule_id"),
    [
        (b"", "pdp.engine_unavailable"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "pdp.engine_unavailable"),
        (http(b"oops", 500), "pdp.engine_error"),
        (http(b'{"provenance":{"bundles":{"b":{"revision":"r1"}}}}'), "pdp.undefined"),
        (http(b'{"result":true}'), "pdp.answer_invalid"),
        (http(decisions(1, "r2")), "pdp.answer_invalid"),
        (http(b"{" + b" " * OPA_ANSWER_BYTES_MAX + b"}"), "pdp.answer_invalid"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "pdp.engine_timeout"),
    ],
)
async def test_garbage(lying_opa: LyingOpa, raw: bytes, rule_id: str) -> None:
    lying_opa.always(raw)
    assert await ask_one(lying_opa) == rule_id


async def test_slow(lying_opa: LyingOpa) -> None:
    gone = asyncio.Event()

    async def never(_body: bytes) -> bytes:
        await gone.wait()
        return b""

    lying_opa.script = never
    assert await ask_one(lying_opa) == "pdp.engine_timeout"
    gone.set()


async def test_nobody_listens(lying_opa: LyingOpa) -> None:
    lying_opa.path.unlink()
    assert await ask_one(lying_opa) == "pdp.engine_unavailable"


async def test_an_error_of_one_input_does_not_deny_its_neighbours(lying_opa: LyingOpa) -> None:
    async def poisoned(body: bytes) -> bytes:
        return http(b"{}", 500) if b"poison" in body else http(decisions(1))

    lying_opa.script = poisoned
    failures: list[str] = []
    client = client_of(lying_opa, failures)
    verdicts = await client.evaluate([b'{"a":1}', b'{"poison":1}', b'{"c":1}'])
    assert [verdict.rule_id for verdict in verdicts] == ["a.b", "pdp.engine_error", "a.b"]
    assert failures == ["pdp.engine_error"]
    client.close()


async def test_an_answer_that_is_too_large_for_all_is_asked_for_one_by_one(lying_opa: LyingOpa) -> None:
    async def talkative(body: bytes) -> bytes:
        asked = len(orjson.loads(body)["input"]["batch"])
        return http(decisions(1)) if asked == 1 else http(b"{" + b" " * OPA_ANSWER_BYTES_MAX + b"}")

    lying_opa.script = talkative
    client = client_of(lying_opa)
    verdicts = await client.evaluate([b"{}", b"{}"])
    assert [verdict.rule_id for verdict in verdicts] == ["a.b", "a.b"]
    client.close()


async def test_a_connection_that_went_stale_is_opened_again(lying_opa: LyingOpa) -> None:
    answers = iter([http(decisions(1)), b"", http(decisions(1))])

    async def script(_body: bytes) -> bytes:
        return next(answers)

    lying_opa.script = script
    client = client_of(lying_opa)
    for _ in range(2):
        [verdict] = await client.evaluate([b"{}"])
        assert isinstance(verdict, Verdict)
    assert len(lying_opa.bodies) == 3
    client.close()


async def test_a_late_answer_is_not_taken_for_the_next_one(lying_opa: LyingOpa) -> None:
    release = asyncio.Event()
    late = [True]

    async def script(_body: bytes) -> bytes:
        if late.pop() if late else False:
            await release.wait()
            return http(decisions(1))
        return http(b"{}", 500)

    lying_opa.script = script
    client = client_of(lying_opa)
    [first] = await client.evaluate([b"{}"])
    release.set()
    [second] = await client.evaluate([b"{}"])
    assert (first.rule_id, second.rule_id) == ("pdp.engine_timeout", "pdp.engine_error")
    client.close()


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(http(b"{}", 500) + http(decisions(1)), id="two answers to one question"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(decisions(1)), id="an interim answer"),
    ],
)
async def test_what_was_not_asked_for_answers_nothing(lying_opa: LyingOpa, first: bytes) -> None:
    answers = iter([first, http(b"{}", 503), http(b"{}", 503)])

    async def script(_body: bytes) -> bytes:
        return next(answers)

    lying_opa.script = script
    client = client_of(lying_opa)
    verdicts = [(await client.evaluate([b"{}"]))[0] for _ in range(2)]
    assert [type(verdict) for verdict in verdicts] == [Indeterminate, Indeterminate]
    client.close()


async def test_the_canary_wants_its_own_rule(lying_opa: LyingOpa) -> None:
    lying_opa.always(http(decisions(1)))
    fault = await canary_error(client_of(lying_opa), TIMEOUT_SECONDS, "r1")
    assert "expected deny canary.alive" in fault
    lying_opa.always(http(b"{}"))
    assert (await canary_error(client_of(lying_opa), TIMEOUT_SECONDS, "r1")).startswith("pdp.answer_invalid")


async def test_a_connection_is_for_one_question_at_a_time(lying_opa: LyingOpa) -> None:
    lying_opa.always(http(b"{}"))
    connection = await Connection.open(Address.parse(lying_opa.url))
    first = asyncio.create_task(connection.request("GET", "/"))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionFailedError, match="in use"):
        await connection.request("GET", "/")
    assert await first == (200, b"{}")
    connection.close()


@pytest.mark.parametrize("url", ["", "opa.sock", "unix://", "https://h:1", "http://", "http://h:1/path"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="neither unix"):
        Address.parse(url)


def test_addresses() -> None:
    assert Address.parse("unix:///run/opa.sock") == Address(socket="/run/opa.sock")
    assert Address.parse("http://127.0.0.1:9000") == Address(host="127.0.0.1", port=9000)
    assert Address.parse("http://opa/") == Address(host="opa", port=8181)
