"""A server of several worker processes: its starts, stops, reloads and failures."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import grpc
import psutil
import pytest

from placet.kernel.limits import SHUTDOWN_SECONDS_MAX
from placet.sdk import ControlClient
from placet.workers.policy_relay import SERVE_SECONDS_MAX
from tests.faults.serving import (
    SERVING,
    STOP_SECONDS_MAX,
    Server,
    command_line,
    environment,
    eventually,
    free_address,
    policy_copy,
    refused,
    serving,
)
from tests.faults.traffic import proposal, read_answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.traffic import Answered

AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"
OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
PATIENT: Final = {"opa_timeout_ms": 20_000, "workers": 2}
READ: Final = "jira.search"
SECONDS_MAX: Final = 60.0
CALLERS: Final = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers on SQLite, for tests that do not stop it."""
    folder = tmp_path_factory.mktemp("workers")
    with serving(folder, policy_copy(folder), metrics_listen=free_address(), **PATIENT) as running:
        yield running


def workers_of(server: Server) -> list[psutil.Process]:
    """Return the worker processes."""
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "placet.workers.main" in command_line(child)]


def accepting(server: Server) -> int:
    """Return how many workers accept calls, which `placet doctor` shows."""
    return int(json.loads((server.data_dir / "serve.json").read_bytes())["workers_accepting"])


class Callers:
    """Callers with connections of their own, who ask until the end of the block."""

    def __init__(self, server: Server) -> None:
        self.answered: list[Answered] = []
        self.failed: list[grpc.StatusCode] = []
        self._ended = threading.Event()
        self._address = server.address
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]

    def _run(self) -> None:
        with grpc.insecure_channel(self._address, options=OWN_CONNECTION) as channel:
            while not self._ended.is_set():
                started = time.monotonic()
                try:
                    answer = channel.unary_unary(AUTHORIZE, None, None)(proposal(READ), timeout=SECONDS_MAX)
                    self.answered.append(read_answer(READ, answer, started))
                except grpc.RpcError as error:
                    self.failed.append(error.code())
                    time.sleep(0.05)

    def more(self, count: int) -> None:
        """Wait until so many more calls were answered."""
        until = len(self.answered) + count
        eventually(lambda: len(self.answered) >= until, SECONDS_MAX, "answers")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.more(CALLERS)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def decisions_by_writer(server: Server) -> dict[str, int]:
    """Return writer -> number of decisions in its chain."""
    query = "SELECT writer, count(*) FROM audit_records WHERE kind = 'decision.made' GROUP BY writer"
    with closing(sqlite3.connect(f"file:{server.data_dir}/placet.db?mode=ro", uri=True, timeout=10)) as database:
        return dict(database.execute(query).fetchall())


def test_both_workers_decide_and_metrics_are_sums(server: Server) -> None:
    counted = 'placet_decisions_total{effect="allow",rule_id="tools.listed_read"}'
    with Callers(server) as callers:
        eventually(lambda: len(decisions_by_writer(server)) == 2, SECONDS_MAX, "both workers decide")
        callers.more(50)
    assert not callers.failed
    by_writer = decisions_by_writer(server)
    assert set(by_writer) == {"placet.1", "placet.2"}
    assert server.metric(counted) == sum(by_writer.values()) == len(callers.answered)
    assert server.metric("placet_decision_seconds_count") == len(callers.answered)
    assert (server.metric("placet_workers"), server.metric("placet_ready")) == (2, 1)
    eventually(lambda: server.metric("placet_data_dir_free_bytes") > 0, SECONDS_MAX, "sampled")
    report = server.verify()
    assert (report.ok, report.chains) == (True, 3)


def test_the_merged_metrics_have_each_name_once(server: Server) -> None:
    with urllib.request.urlopen(f"http://{server._metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert "pid=" not in text
    assert {"placet_queue_depth", "placet_watchers", "placet_worker_restarts_total"} <= set(names)


def test_one_opa_and_one_health(server: Server) -> None:
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert len([child for child in children if "--server" in command_line(child)]) == 1
    assert server.health() == SERVING
    status = server.status()
    assert (status.ready, status.last_error) == (True, "")


def change(server: Server, number: int) -> None:
    """Change the tenant's file without a restriction less."""
    file = server.rego_dir / "config" / "acme.yaml"
    whole = file.read_text()
    draft = file.with_suffix(".draft")
    draft.write_text(re.sub(r"maxLength: \d+", f"maxLength: {400 - number}", whole))
    draft.replace(file)


def test_no_two_revisions_answer_for_longer_than_the_bound(server: Server) -> None:
    """All calls are answered by the policy, and after the switch none by the old revision."""
    before = server.status().policy_revision
    with Callers(server) as callers:
        for number in range(3):
            change(server, number)
            eventually(partial(_serves_another, server, before), SECONDS_MAX, "the new revision")
            callers.more(4 * CALLERS)
            answers = list(callers.answered)
            revisions = list(dict.fromkeys(answer.revision for answer in answers))[-2:]
            assert revisions[0] == before
            last_old = max(answer.at for answer in answers if answer.revision == before)
            first_new = min(answer.at for answer in answers if answer.revision == revisions[1])
            assert last_old - first_new < SERVE_SECONDS_MAX
            before = revisions[1]
    assert not callers.failed
    assert {answer.rule_id for answer in callers.answered} == {"tools.listed_read"}


def _serves_another(server: Server, revision: str) -> bool:
    return server.status().policy_revision != revision


def test_opa_is_restarted_for_all_workers(server: Server) -> None:
    killed = server.opa
    killed.kill()
    eventually(lambda: (opa := server.opa_or_none()) is not None and opa.pid != killed.pid, SECONDS_MAX, "another OPA")
    eventually(lambda: server.health() == SERVING, SECONDS_MAX, "healthy")
    with Callers(server) as callers:
        callers.more(50)
    assert {answer.rule_id for answer in callers.answered[-20:]} == {"tools.listed_read"}


def test_a_held_policy_is_confirmed_through_a_worker(server: Server) -> None:
    file = server.rego_dir / "config" / "acme.yaml"
    whole = file.read_text()
    file.write_text(whole.partition("  destinations:")[0])
    eventually(lambda: server.status().held_revision, SECONDS_MAX, "held")
    with ControlClient(server.address, timeout=SECONDS_MAX) as control:
        held = control.policy_status().held_revision
        done = control.confirm_policy(held, actor="ann", reason="it is meant")
    assert (done.activated, done.policy_revision) == (True, held)
    with Callers(server) as callers:
        callers.more(20)
    assert {answer.revision for answer in callers.answered} == {held}


def test_a_worker_that_hangs_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, policy_copy(tmp_path), log_level="info", **PATIENT) as server:
        hanging = workers_of(server)[0]
        assert accepting(server) == 2
        os.kill(hanging.pid, signal.SIGSTOP)
        eventually(lambda: accepting(server) == 1, SECONDS_MAX, "counted")
        assert server.events("worker killed")
        eventually(lambda: len(server.events("worker accepts calls")) == 3, SECONDS_MAX, "restarted")
        eventually(lambda: accepting(server) == 2, SECONDS_MAX, "counted again")
        assert server.health() == SERVING


def test_a_stop_drains_all_workers(tmp_path: Path) -> None:
    """Every call that was answered is in the trail, and every chain ends with the record of its stop."""
    with serving(tmp_path, policy_copy(tmp_path), log_level="error", **PATIENT) as server:
        with Callers(server) as callers:
            callers.more(50)
            processes = [*workers_of(server), server.opa]
            started = time.monotonic()
            server.signal(signal.SIGTERM)
            code = server.wait()
        assert (code, server.said) == (0, "")
        assert not (server.data_dir / "serve.json").exists()
        assert time.monotonic() - started < SHUTDOWN_SECONDS_MAX
        assert not [process for process in processes if process.is_running()]
        assert {answer.decision_id for answer in callers.answered} <= server.decided().keys()
        assert len(server.records("server.stopped")) == 3
        assert set(callers.failed) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        report = server.verify()
        assert (report.ok, report.chains) == (True, 3)


def test_workers_do_not_outlive_the_supervisor(tmp_path: Path) -> None:
    """After kill -9 nothing is left, and the next start goes on with all chains."""
    rego_dir = policy_copy(tmp_path)
    with serving(tmp_path, rego_dir, **PATIENT) as server, Callers(server) as callers:
        callers.more(50)
        processes = [*workers_of(server), server.opa]
        server.kill()
        psutil.wait_procs(processes, timeout=STOP_SECONDS_MAX)
        assert not [process for process in processes if process.is_running()]
    answered = {answer.decision_id for answer in callers.answered}
    with serving(tmp_path, rego_dir, metrics_listen=free_address(), **{**PATIENT, "workers": 3}) as server:
        assert answered <= server.decided().keys()
        assert len(list((server.data_dir / "metrics").iterdir())) == 1
        assert server.stop() == 0
    assert not list((server.data_dir / "metrics").iterdir())
    with serving(tmp_path, rego_dir) as server:  # one process continues the chain of the supervisor
        report = server.verify()
        assert (report.ok, report.chains) == (True, 4)


def test_a_lost_database_is_noticed_and_a_new_trail_begins(tmp_path: Path) -> None:
    rego_dir = policy_copy(tmp_path)
    with serving(tmp_path, rego_dir, **PATIENT) as server, Callers(server) as callers:
        callers.more(20)
        data_dir = server.data_dir
        assert server.stop() == 0
    for file in data_dir.glob("placet.db*"):
        file.unlink()
    code, said = refused(tmp_path, rego_dir, workers=2)
    assert code != 0
    assert "new-trail" in said[0]
    command = [sys.executable, "-m", "placet", "db", "new-trail", "--as", "ann", "--reason", "lost"]
    subprocess.run([*command, "--data-dir", str(data_dir)], check=True, env=environment(), capture_output=True)
    with serving(tmp_path, rego_dir, **PATIENT) as server, Callers(server) as callers:
        callers.more(20)
        assert len(server.records("trail.restarted")) == 3
        report = server.verify()
        assert (report.ok, report.chains) == (True, 3)


def test_a_second_server_is_refused(server: Server, tmp_path: Path) -> None:
    """On the port of the workers, and on their database, also when their supervisor is killed but a worker is not."""
    code, said = refused(tmp_path / "port", server.rego_dir, data_dir=tmp_path / "other", listen=server.address)
    assert code != 0
    assert "cannot listen on" in said[0]
    for workers in (1, 2):
        code, said = refused(tmp_path / "data", server.rego_dir, data_dir=server.data_dir, workers=workers)
        assert code != 0
        assert "is in use by process" in said[0]
