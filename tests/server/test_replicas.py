"""Whole servers on one PostgreSQL database."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import ConfigurationError
from placet.sdk import Action, AuditClient, Client, Identity, Query
from placet.signing.keys import PUBLIC_NAME
from tests.serving import serving, settings

if TYPE_CHECKING:
    from pathlib import Path

READ = Action("jira.search", {"query": "x"})
AGENT = Identity(agent="triage-agent", tenant="acme")


def test_two_replicas_decide_as_one(postgres_url: str, tmp_path: Path) -> None:
    chosen = [settings(tmp_path / name, database_url=postgres_url, replica_id=name) for name in "ab"]
    with serving(chosen[0]) as one, serving(chosen[1]) as two:
        addresses = [one.address, two.address]

        def ask(number: int) -> str:
            with Client(addresses[number % 2]) as client:
                return client.authorize(READ, AGENT, idempotency_key=f"same-{number // 4}").decision_id

        with ThreadPoolExecutor(8) as threads:
            decided = list(threads.map(ask, range(40)))
        assert [len({*decided[start : start + 4]}) for start in range(0, 40, 4)] == [1] * 10
        with AuditClient(two.address) as client:
            found = client.query(Query(tenant="acme"))
            assert {each.decision.decision_id for each in found.decisions} == {*decided}
            assert {each.writer for each in found.decisions} <= {"a", "b"}
    shutil.copy(tmp_path / "a" / "keys" / PUBLIC_NAME, tmp_path / "b" / "keys" / "audit_a.pub.pem")
    with serving(chosen[1]) as two, AuditClient(two.address) as client:
        report = client.verify()
    assert (report.ok, report.chains) == (True, 2)


def test_a_replica_whose_key_is_gone(postgres_url: str, tmp_path: Path) -> None:
    chosen = settings(tmp_path / "a", database_url=postgres_url, replica_id="a")
    with serving(chosen):
        pass
    shutil.rmtree(tmp_path / "a" / "keys")
    with pytest.raises(ConfigurationError, match="restore that key"), serving(chosen):
        pass
    with serving(settings(tmp_path / "b", database_url=postgres_url, replica_id="b")):
        pass
