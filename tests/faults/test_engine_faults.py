"""OPA is killed, frozen, cut off: each call gets a recorded deny of its own id, and all comes back by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.serving import NOT_SERVING, SERVING, eventually, free_address
from tests.faults.traffic import READ, UNLISTED, WRITE, ask_rightly, check_recorded, traffic
from tests.freezing import freeze

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

    from tests.faults.serving import Server
    from tests.faults.traffic import Traffic

DEFAULT_MS = 250
KILLS = 3


def socket_of(opa: psutil.Process) -> Path:
    [address] = [argument for argument in opa.cmdline() if argument.startswith("unix://")]
    return Path(address.removeprefix("unix://"))


def kill_opa(server: Server, asked: Traffic, health: list[int]) -> None:
    """Until it was missed, and then right answers came again."""
    denied, before = asked.rule_ids["pdp.engine_unavailable"], list(health)
    server.opa.kill()
    eventually(lambda: asked.rule_ids["pdp.engine_unavailable"] > denied, 5)
    eventually(lambda: health == [*before, NOT_SERVING, SERVING], 5)
    asked.more(30)


def test_killed_under_load(serve: Callable[..., Server]) -> None:
    server = serve(metrics_listen=free_address())
    with server.watched_health() as health, traffic(server) as asked:
        asked.more(30)
        for _ in range(KILLS):
            kill_opa(server, asked, health)
    assert not asked.failed
    assert {each.rule_id for each in asked.wrong} == {"pdp.engine_unavailable"}
    assert UNLISTED not in {each.tool for each in asked.wrong}  # decided without OPA
    check_recorded(server, asked)
    assert server.status().engine_restarts == KILLS
    assert server.metric("placet_engine_restarts_total") == KILLS
    failures = server.metric('placet_engine_failures_total{rule_id="pdp.engine_unavailable"}')
    assert failures > 0
    ends = "policy engine answers again"
    eventually(lambda: sum(each["failures"] for each in server.events(ends)) == failures, 10)
    assert len(server.events("policy engine error")) == len(server.events(ends)) <= KILLS


def test_frozen_under_load(serve: Callable[..., Server]) -> None:
    server = serve(opa_timeout_ms=DEFAULT_MS)
    with server.watched_health() as health, traffic(server) as asked:
        asked.more(30)
        frozen = server.opa
        freeze(frozen.pid)
        eventually(lambda: asked.rule_ids["pdp.engine_timeout"] > 0, 5)
        eventually(lambda: health == [SERVING, NOT_SERVING, SERVING], 12)
        asked.more(30)
    assert not frozen.is_running()
    assert not asked.failed
    assert {each.rule_id for each in asked.wrong} <= {"pdp.engine_timeout", "pdp.engine_unavailable"}
    assert max(each.seconds for each in asked.answered) < 5
    check_recorded(server, asked)
    assert server.status().engine_restarts == 1


def test_its_socket_is_removed(server: Server) -> None:
    with server.watched_health() as health, traffic(server) as asked:
        asked.more(10)
        socket_of(server.opa).unlink()
        eventually(lambda: health == [SERVING, NOT_SERVING, SERVING], 12)
        asked.more(10)
    assert {each.rule_id for each in asked.wrong} <= {"pdp.engine_timeout", "pdp.engine_unavailable"}
    assert socket_of(server.opa).exists()
    check_recorded(server, asked)


def test_it_comes_back_when_the_bundle_cache_and_the_log_are_gone(server: Server) -> None:
    revision = server.status().policy_revision
    shutil.rmtree(server.data_dir / "bundles")
    (server.data_dir / "opa.log").unlink()
    server.opa.kill()
    eventually(lambda: server.status().engine_restarts == 1 and ask_rightly(server), 10)
    assert (server.status().ready, server.status().policy_revision) == (True, revision)


def test_it_dies_with_a_killed_server_and_leaves_nothing(serve: Callable[..., Server]) -> None:
    killed = serve()
    opa = killed.opa
    left = socket_of(opa).parent
    with traffic(killed, tools=(READ, WRITE)) as asked:
        asked.more(10)
        killed.kill()
        eventually(lambda: not opa.is_running(), 5, "OPA outlived the server")
    again = serve()
    assert not left.exists()
    opa, folder = again.opa, socket_of(again.opa).parent
    assert again.stop() == 0
    assert not opa.is_running()
    assert not folder.exists()
    check_recorded(again, asked)
