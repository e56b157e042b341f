"""The server is killed under load: every answer stands in the trail, the chain verifies, the next start works."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.faults.traffic import ask_rightly, check_recorded, traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.serving import Server
    from tests.faults.traffic import Answered


def check_crashes(serve: Callable[..., Server], times: int) -> None:
    answered: list[Answered] = []
    for _ in range(times):
        server = serve()
        with traffic(server) as asked:
            asked.more(random.randint(1, 60))
            server.kill()
        assert server.verify().ok
        trail = server.decided()
        answered += asked.answered
        assert not [
            each for each in answered if trail.get(each.decision_id) != (each.effect, each.rule_id, each.revision)
        ]
    again = serve()
    assert ask_rightly(again)
    assert again.stop() == 0
    assert len(again.records("server.started")) == times + 1
    assert len(again.records("server.stopped")) == 1
    check_recorded(again, asked)


def test_killed_under_load(serve: Callable[..., Server]) -> None:
    check_crashes(serve, 3)


@pytest.mark.soak
def test_killed_under_load_many_times(serve: Callable[..., Server]) -> None:
    check_crashes(serve, 50)


def test_a_cut_index_of_the_log_kills_the_server_and_loses_nothing(serve: Callable[..., Server]) -> None:
    """SQLite maps it into memory: whoever touches what was cut off gets SIGBUS, which nothing can handle."""
    server = serve()
    with traffic(server) as asked:
        asked.more(20)
        os.truncate(server.data_dir / "placet.db-shm", 0)
        assert server.wait(20) == -signal.SIGBUS
    again = serve()
    assert ask_rightly(again)
    assert again.stop() == 0
    check_recorded(again, asked)
