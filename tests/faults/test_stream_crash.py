"""The server is killed during streams: the same keys over a new stream get the same decisions, and no key gets two."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from placet.sdk import Action, Client, Identity
from tests.faults.serving import eventually, free_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.sdk import Decision
    from tests.faults.serving import Server

CALLERS = 16
KEYS = 400
READ = Action("jira.search", {"query": "printer on fire"})
AGENT = Identity(agent="triage-agent", tenant="acme")


def test_killed_in_the_middle_of_a_stream(serve: Callable[..., Server]) -> None:
    address = free_address()
    server = serve(listen=address)
    first: dict[str, Decision] = {}
    stop = threading.Event()

    def ask(client: Client, number: int) -> None:
        if not stop.is_set():
            decision = client.authorize(READ, AGENT, idempotency_key=f"key-{number}", timeout=60)
            first[decision.idempotency_key] = decision

    with Client(address, transport="stream") as client, ThreadPoolExecutor(CALLERS) as threads:
        asked = [threads.submit(ask, client, number) for number in range(KEYS)]
        eventually(lambda: len(first) > random.randint(20, 60), 60, "some answers")
        answered_before = dict(first)
        server.kill()
        server = serve(listen=address)
        for each in asked:
            each.result(90)
        assert len(first) == KEYS
        assert all(decision.allowed for decision in first.values())
        repeated = list(
            threads.map(lambda key: client.authorize(READ, AGENT, idempotency_key=key, timeout=60), list(first))
        )
    assert {each.idempotency_key: each.decision_id for each in repeated} == {
        key: decision.decision_id for key, decision in first.items()
    }
    assert len(answered_before) < KEYS, "the server was killed before the end"
    assert server.stop() == 0
    assert server.verify().ok
    made = Counter(record["idempotency_key"] for record in server.records("decision.made"))
    assert made == Counter(first.keys())


def test_stopped_in_the_middle_of_a_stream(serve: Callable[..., Server]) -> None:
    address = free_address()
    server = serve(listen=address)
    with Client(address, transport="stream") as client, ThreadPoolExecutor(CALLERS) as threads:
        asked = [threads.submit(client.authorize, READ, AGENT, timeout=60) for _ in range(KEYS)]
        eventually(lambda: sum(each.done() for each in asked) > 20, 60, "some answers")
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 8, "an open stream does not delay the stop"
        server = serve(listen=address)
        assert all(each.result(90).allowed for each in asked)
    assert len(server.decided()) == KEYS
