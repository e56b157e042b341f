"""A stop in order under load, however its parts fail; and what is refused when there is too much to do."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from placet.kernel.limits import RETRY_AFTER_MS, SHUTDOWN_SECONDS_MAX
from placet.server.lifecycle import SECOND_SIGNAL_SECONDS
from tests.faults.serving import NOT_SERVING, POLL_SECONDS, SERVING, eventually, free_address
from tests.faults.traffic import AUTHORIZE, READ, Answered, Failed, ask, check_recorded, proposal, traffic
from tests.freezing import freeze

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from tests.faults.serving import Server

SLOW_MS = 60_000
"""A time-out of OPA that no test lives to see."""
ARRIVES_SECONDS = 0.5
"""Within this a call is in the queue, or OPA was asked about it."""
AT_ONCE_SECONDS = 2.0
"""What a busy machine may need for something that waits for nothing."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_under_load(server: Server, number: signal.Signals) -> None:
    opa = server.opa
    with server.watched_health() as health, traffic(server) as asked:
        asked.more(30)
        began = time.monotonic()
        server.signal(number)
        assert server.wait(SHUTDOWN_SECONDS_MAX) == 0
        seconds = time.monotonic() - began
        eventually(lambda: health == [SERVING, NOT_SERVING], 5)
    assert seconds < 5, "a watcher of health held up the stop"
    # A call that gRPC had taken from the socket, but not yet given to a handler, ends as CANCELLED: a deny, too.
    assert set(asked.codes) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert not asked.wrong
    assert not opa.is_running()
    assert not (server.data_dir / "serve.json").exists()
    check_recorded(server, asked)
    assert signed_to_the_end(server) == "server.stopped"


def test_opa_is_told_to_end_with_it(serve: Callable[..., Server]) -> None:
    """As a service manager does that signals every process of a unit."""
    for _ in range(3):
        server = serve()
        opa = server.opa
        opa.terminate()
        server.signal(signal.SIGTERM)
        assert server.wait(SHUTDOWN_SECONDS_MAX) == 0
        assert signed_to_the_end(server) == "server.stopped"


def signed_to_the_end(server: Server) -> str:
    """The kind of the last record; a checkpoint covers it."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "placet.db")) as database:
        [(kind, last)] = database.execute(
            "SELECT kind, sequence FROM audit_records ORDER BY sequence DESC LIMIT 1"
        ).fetchall()
        [(signed,)] = database.execute("SELECT max(sequence) FROM audit_checkpoints").fetchall()
    assert signed == last
    return str(kind)


def test_what_waits_is_answered(serve: Callable[..., Server]) -> None:
    server = serve(opa_timeout_ms=SLOW_MS, metrics_listen=free_address())
    with holding(server, 8) as answers:
        opa = server.opa
        server.signal(signal.SIGTERM)
        eventually(lambda: server.events("stopping"), 5)
        opa.send_signal(signal.SIGCONT)
        assert server.wait() == 0
        said = [each.result() for each in answers]
    assert all(isinstance(each, Answered) and each.right for each in said)
    trail = server.decided()
    assert {each.decision_id for each in said if isinstance(each, Answered)} <= set(trail)


def test_the_second_signal_stops_at_once(serve: Callable[..., Server]) -> None:
    server = serve(opa_timeout_ms=SLOW_MS, metrics_listen=free_address())
    with holding(server, 2):
        opa = server.opa
        server.signal(signal.SIGTERM)
        eventually(lambda: server.events("stopping"), 5)
        assert server.process.poll() is None
        time.sleep(SECOND_SIGNAL_SECONDS)
        server.signal(signal.SIGTERM)
        assert server.wait(AT_ONCE_SECONDS) == 1
        eventually(lambda: not opa.is_running(), 5)
    assert server.verify().ok


def test_signals_in_quick_succession_are_one(serve: Callable[..., Server]) -> None:
    server = serve()
    for _ in range(3):
        server.signal(signal.SIGTERM)
    assert server.wait(SHUTDOWN_SECONDS_MAX) == 0
    assert signed_to_the_end(server) == "server.stopped"


def test_a_stop_that_hangs_ends_all_the_same(serve: Callable[..., Server]) -> None:
    server = serve(opa_timeout_ms=SLOW_MS, metrics_listen=free_address())
    with holding(server, 2):
        server.signal(signal.SIGTERM)
        assert server.wait(SHUTDOWN_SECONDS_MAX + AT_ONCE_SECONDS) == 1
    assert server.verify().ok


def test_a_reload_under_way_does_not_hold_up_the_stop(server: Server) -> None:
    opa = server.opa
    tenant = server.rego_dir / "config" / "acme.yaml"
    tenant.write_text(tenant.read_text() + "\n")
    pack = server.rego_dir / "policy" / "refunds" / "refunds.rego"
    pack.write_text(pack.read_text() + "\n# changed\n")
    eventually(lambda: len(list((server.data_dir / "bundles").iterdir())) > 1, 10, "the reload begins")
    assert server.stop() == 0
    assert not opa.is_running()
    assert server.opa_or_none() is None
    assert signed_to_the_end(server) == "server.stopped"


def test_overload_is_refused_at_once_and_what_was_admitted_is_answered(serve: Callable[..., Server]) -> None:
    server = serve(opa_timeout_ms=SLOW_MS, queue_depth_max=4, metrics_listen=free_address())
    with holding(server, 4) as waiting:
        refused = [ask(server) for _ in range(20)]
        assert {each.code for each in refused if isinstance(each, Failed)} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len([each for each in refused if isinstance(each, Failed)]) == len(refused)
        assert max(each.seconds for each in refused) < AT_ONCE_SECONDS
        assert retry_after_ms(server) == RETRY_AFTER_MS
        server.opa.send_signal(signal.SIGCONT)
        said = [each.result() for each in waiting]
    assert all(isinstance(each, Answered) and each.right for each in said)
    assert len(server.decided()) == len(said)
    assert isinstance(ask(server), Answered)


def test_those_admitted_under_overload_are_answered_as_quickly_as_ever(serve: Callable[..., Server]) -> None:
    server = serve(queue_depth_max=1, opa_timeout_ms=SLOW_MS)
    with traffic(server, callers=1, tools=(READ,)) as alone:
        alone.more(200, 20)
    with traffic(server, callers=12, tools=(READ,)) as crowd:
        crowd.more(200, 20)
    assert set(crowd.codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert not crowd.wrong
    # Twelve callers share the machine with the server, but nobody waits in line behind more than one other.
    assert median([each.seconds for each in crowd.answered]) < 12 * 3 * median(
        [each.seconds for each in alone.answered]
    )
    check_recorded(server, crowd)


def median(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def retry_after_ms(server: Server) -> int:
    with grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(AUTHORIZE, None, None)(proposal(), 5)
        assert isinstance(refused.value, grpc.Call)
        status = rpc_status.from_call(refused.value)
    retry = error_details_pb2.RetryInfo()
    assert any(each.Unpack(retry) for each in status.details)
    return int(retry.retry_delay.ToMilliseconds())


@contextlib.contextmanager
def holding(server: Server, waiting: int) -> Iterator[list[Future[Answered | Failed]]]:
    """Calls that wait for a frozen OPA: so many in the queue, and those before them that OPA was asked about."""
    freeze(server.opa.pid)
    answers: list[Future[Answered | Failed]] = []
    with ThreadPoolExecutor(waiting + 2) as callers:
        while (depth := server.metric("placet_queue_depth")) < waiting:
            answers.append(callers.submit(ask, server))
            until = time.monotonic() + ARRIVES_SECONDS
            while time.monotonic() < until and server.metric("placet_queue_depth") == depth:
                time.sleep(POLL_SECONDS)
        yield answers
