"""Failures of the server: the caller receives a status without the inner cause."""

from __future__ import annotations

import os
import signal
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.kernel.errors import LedgerUnavailableError
from tests.serving import serving, settings
from tests.transport.wire import AUTHORIZE, Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.serving import Server

INNER = "SELECT body FROM audit_records; /var/lib/placet/placet.db; rego_eval_error"


def fails_with(fault: Exception) -> Callable[..., Any]:
    async def fail(*_: object) -> None:
        raise fault

    return fail


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    assert not any(word in caught.value.text for word in ("SELECT", "/var", "rego_", "Traceback", "Error("))
    return caught.value


@pytest.mark.parametrize("raw", [request().SerializeToString(), b"", b"\xff" * 9], ids=["good", "empty", "noise"])
def test_a_decision_that_cannot_be_recorded_is_unavailable(
    wire: Wire, placet_server: Server, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    monkeypatch.setattr(placet_server.running.ledger, "commit", fails_with(LedgerUnavailableError(INNER)))
    refusal = refused(lambda: wire.raw(AUTHORIZE, raw))
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert (refusal.reason, refusal.domain) == ("LEDGER_UNAVAILABLE", "placet")
    assert refusal.retry_after_seconds is not None
    assert refusal.retry_after_seconds > 0


def test_the_server_recovers_with_the_ledger(
    wire: Wire, placet_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request()
    with monkeypatch.context() as broken:
        broken.setattr(placet_server.running.ledger, "commit", fails_with(LedgerUnavailableError(INNER)))
        refused(lambda: wire.authorize(asked))
    assert wire.authorize(asked).rule_id == "tools.listed_read"


@pytest.mark.parametrize("name", ["commit", "query_decisions", "get_decision", "verify"])
def test_an_unexpected_error_is_sent_without_its_cause(
    wire: Wire, placet_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "commit": lambda: wire.authorize(request()),
        "query_decisions": lambda: wire.query(tenant="acme"),
        "get_decision": lambda: wire.get("acme", "dec_1"),
        "verify": wire.verify,
    }
    monkeypatch.setattr(placet_server.running.ledger, name, fails_with(RuntimeError(INNER)))
    registry = placet_server.running.metrics.registry
    before = registry.get_sample_value("placet_faults_total") or 0.0
    refusal = refused(calls[name])
    assert refusal.code is grpc.StatusCode.INTERNAL
    assert refusal.text == "internal error; the server's log has the cause"
    assert registry.get_sample_value("placet_faults_total") == before + 1


def engine_pid(server: Server) -> int:
    policy: Any = server.running.policies.current()
    assert policy is not None
    return int(policy.process.pid)


def first_done(calls: list[Future[Any]], count: int) -> list[Future[Any]]:
    """Return the calls that were answered while the engine was stopped, at least `count`."""
    done: set[Future[Any]] = set()
    pending = set(calls)
    while len(done) < count:
        more, pending = wait(pending, timeout=20, return_when=FIRST_COMPLETED)
        assert more, "the server waited for the engine"
        done |= more
    return list(done)


def test_overload_is_refused_immediately_with_retry_info(tmp_path: Path) -> None:
    with serving(settings(tmp_path, queue_depth_max=1)) as server, ThreadPoolExecutor(8) as threads:
        wire = Wire(server.address)
        assert wire.authorize(request()).rule_id == "tools.listed_read"
        engine = engine_pid(server)
        os.kill(engine, signal.SIGSTOP)
        try:
            calls = [threads.submit(wire.authorize, request()) for _ in range(8)]
            # One is with the engine, one waits; with the others the server does not wait for the engine.
            errors = [each.exception(20) for each in first_done(calls, 6)]
        finally:
            os.kill(engine, signal.SIGCONT)
        assert [type(each) for each in errors] == [Refusal] * 6
        for error in errors:
            assert isinstance(error, Refusal)
            assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (error.reason, error.domain) == ("OVERLOADED", "placet")
            assert error.retry_after_seconds == pytest.approx(0.25)
        admitted = [each.result(20) for each in calls if each.exception(20) is None]
        assert 1 <= len(admitted) <= 2
        assert {each.rule_id for each in admitted} == {"tools.listed_read"}
        assert len(server.records("decision.made")) == 1 + len(admitted)
        wire.close()
