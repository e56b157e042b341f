"""`placet serve` behind PgBouncer: refused in transaction mode, and whole in session mode, also after kill -9."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from placet.cli.rendering import exit_codes
from placet.sdk import Action, AuditClient, Client, Effect, Identity
from tests.faults.command import placet
from tests.faults.serving import refused, serving
from tests.pgbouncer import pgbouncer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres

ACTION: Final = Action("jira.search")
IDENTITY: Final = Identity("support-agent", "acme", user="u_1")
REPLICA: Final = {"replica_id": "a"}


def test_transaction_mode_is_refused_with_the_remedy(postgres_server: Postgres, tmp_path: Path, rego_dir: Path) -> None:
    with pgbouncer(postgres_server, "transaction") as pooler:
        url = pooler.url(postgres_server.new_database())
        code, said = refused(tmp_path, rego_dir, database_url=url, **REPLICA)
        assert code == exit_codes.USAGE, said
        assert "is behind a pooler in transaction mode" in said[-1]
        assert "(PgBouncer: pool_mode = session)" in said[-1]
        for command in (("db", "upgrade"), ("db", "status"), ("db", "grants", "--apply"), ("audit", "checkpoint")):
            ran = placet(*command, "--database-url", url)
            assert (ran.returncode, "pooler in transaction mode" in ran.stderr) == (exit_codes.USAGE, True), ran.stderr
        told = placet("doctor", "--database-url", url, "--rego-dir", rego_dir, "--data-dir", tmp_path / "none")
        assert told.returncode == exit_codes.CHECK_FAILED
        assert "pooler in transaction mode" in " ".join(told.stdout.split())


@pytest.mark.parametrize("pool_size", [10])
def test_session_mode_survives_kill_9(
    postgres_server: Postgres, tmp_path: Path, rego_dir: Path, pool_size: int
) -> None:
    """The pooler ends the session of a dead replica, and with it the lock of its name. Ten sessions are enough."""
    with pgbouncer(postgres_server, "session", default_pool_size=pool_size) as pooler:
        flags = {"database_url": pooler.url(postgres_server.new_database()), **REPLICA}
        for restart in range(2):
            with serving(tmp_path, rego_dir, **flags) as server, Client(server.address, timeout=30) as client:
                for _ in range(10):
                    assert client.authorize(ACTION, IDENTITY).effect is Effect.ALLOW
                if not restart:
                    server.kill()
                    continue
                with AuditClient(server.address) as audit:
                    report = audit.verify()
                assert (report.ok, report.problems) == (True, ())
                assert server.stop() == 0
