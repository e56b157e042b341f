"""A server of several worker processes: their budgets, keys, kill switches and payments are those of one server."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

import grpc
import psutil
import pytest

from placet.sdk import ApprovalClient, Person
from placet.v1 import approval_pb2, authorization_pb2
from tests.faults.serving import command_line, eventually
from tests.races.fleet import Fleet, check_whole
from tests.races.load_clients import AUTHORIZE, OPTIONS, REQUIRE_APPROVAL, Caller, LoadClients
from tests.races.payment_clients import check_expired, check_settled, longest_silence_ms, more, payments
from tests.races.tenant import READ, TAKE, TENANT, WIRE, Ask, fresh, races_rego
from tests.races.test_budget_race import allowed, race
from tests.races.test_kill_switch_race import SCOPES, check_race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.serving import Server
    from tests.postgres import Postgres

UNITS, CALLERS = 100, 16
KILLS: Final = 3
SECONDS_MAX: Final = 60.0
SEEN_SECONDS_MAX: Final = 1.0
"""Below WATCH_POLL_SECONDS: a watcher of another worker is woken, and does not wait for its next poll."""
KEEPER: Final = Person("u_kim", ("keeper",))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres
) -> Iterator[Fleet]:
    """One server with two workers, for tests that do not stop it."""
    folder = tmp_path_factory.mktemp(request.param)
    url = postgres_server.url(postgres_server.new_database()) if request.param == "postgres" else ""
    with Fleet(folder, races_rego(folder, UNITS), {"a": url}, workers=2) as made:
        yield made


def workers_of(server: Server) -> list[psutil.Process]:
    """Return the worker processes of a server."""
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "placet.workers.main" in command_line(child)]


def watch(address: str, approval_id: str, watching: threading.Barrier, seen: list[float]) -> None:
    """Watch on a connection of its own, and note when the approval is granted."""
    request = approval_pb2.WatchApprovalsRequest(tenant=TENANT).SerializeToString()
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        stream = channel.unary_stream("/placet.v1.ApprovalService/WatchApprovals", None, None)
        for raw in stream(request, timeout=SECONDS_MAX):
            answer = approval_pb2.WatchApprovalsResponse.FromString(raw)
            if not answer.HasField("approval"):  # the snapshot is complete
                watching.wait(SECONDS_MAX)
            elif answer.approval.id == approval_id and answer.approval.state == approval_pb2.APPROVAL_STATE_APPROVED:
                seen.append(time.monotonic())
                return


def test_a_budget_gives_each_unit_once(workers: Fleet) -> None:
    race(workers, UNITS, CALLERS)
    recorded = workers.accounts().balance()
    assert allowed(recorded) >= UNITS
    assert {"a.1", "a.2"} <= workers.accounts().writers()
    check_whole(workers, chains=workers.chains)


def test_a_key_is_decided_once_by_all_workers(workers: Fleet) -> None:
    asks = [Ask(READ) for _ in range(20)]

    def work(caller: Caller, clients: LoadClients) -> None:
        for number, ask in enumerate(asks):
            clients.replies.append(caller.ask(ask, at=number + random.randrange(6)))

    with LoadClients(workers.addresses, CALLERS, work) as clients:
        clients.join()
    ids = {ask.key: {each.decision_id for each in clients.replies if each.ask is ask} for ask in asks}
    assert [len(each) for each in ids.values()] == [1] * len(asks)


def test_an_idle_worker_sees_what_the_other_used(workers: Fleet) -> None:
    """What each answer says is left is what all answers before it, of both workers, left."""
    message, workflow = authorization_pb2.AuthorizeResponse(), fresh("wf")
    left = []
    channels = [grpc.insecure_channel(address, options=OPTIONS) for address in workers.addresses]
    for number in range(4 * len(channels)):
        call = channels[number % len(channels)].unary_unary(AUTHORIZE, None, None)
        message.ParseFromString(call(Ask(TAKE, workflow).to_bytes(), timeout=SECONDS_MAX))
        [budget] = [each for each in message.decision.budgets if each.id == "units"]
        left.append(budget.remaining)
    for channel in channels:
        channel.close()
    assert left == [UNITS - 1 - number for number in range(len(left))]


def test_no_worker_allows_after_a_kill_switch_is_set(workers: Fleet, figure: Callable[[str], None]) -> None:
    check_race(workers, len(SCOPES), figure)


def test_watchers_see_what_another_worker_records(workers: Fleet, figure: Callable[[str], None]) -> None:
    """Streams of several connections, so of both workers, see a vote that one of them records."""
    slowest = 0.0
    for _ in range(4):
        caller = Caller(workers.addresses)
        reply = caller.ask(Ask(WIRE, agent=fresh("agent")))
        caller.close()
        assert reply.effect == REQUIRE_APPROVAL
        seen: list[float] = []
        watching = threading.Barrier(CALLERS + 1)
        threads = [
            threading.Thread(target=watch, args=(workers.addresses[0], reply.approval_id, watching, seen))
            for _ in range(CALLERS)
        ]
        for thread in threads:
            thread.start()
        watching.wait(SECONDS_MAX)
        with ApprovalClient(workers.addresses[0]) as client:
            client.approve(TENANT, reply.approval_id, KEEPER)
        voted_at = time.monotonic()
        for thread in threads:
            thread.join(SECONDS_MAX)
        assert len(seen) == CALLERS
        slowest = max(slowest, max(seen) - voted_at)
    figure(f"the slowest watcher saw a vote after {1_000 * slowest:.0f} ms")
    assert slowest < SEEN_SECONDS_MAX


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_killed_workers_lose_nothing(
    store: str, tmp_path: Path, postgres_server: Postgres, figure: Callable[[str], None]
) -> None:
    url = postgres_server.url(postgres_server.new_database()) if store == "postgres" else ""
    with Fleet(tmp_path, races_rego(tmp_path), {"a": url}, workers=2, log_level="info") as fleet:
        server = fleet.servers["a"]
        with payments(fleet) as clients:
            for number in range(1, KILLS + 1):
                more(clients, random.randint(20, 60))
                os.kill(random.choice(workers_of(server)).pid, signal.SIGKILL)
                until = fleet.workers + number
                eventually(lambda: len(server.events("worker accepts calls")) == until, SECONDS_MAX, "restarted")  # noqa: B023 - called here
            more(clients, 60)
        assert [event["exit_status"] for event in server.events("worker ended")] == [-signal.SIGKILL] * KILLS
        retried, silence = sum(each.tries > 1 for each in clients.replies), longest_silence_ms(clients)
        figure(f"{len(clients.replies)} payments, {retried} asked for more than once, longest silence {silence:.0f} ms")
        check_settled(fleet, clients)
        check_expired(fleet, clients)
        assert server.stop() == 0, server.said
