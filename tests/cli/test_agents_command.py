"""`placet agents list` against a whole server: real OPA, real SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.sdk import Action, AgentState, AsyncControlClient, Autonomy, Client, ControlClient, Identity
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Placet
    from tests.serving import Server

FILE = """
agent_policy:
  allowed_tools: [vault.read]
  agents:
    reader: {owner: team-a, purpose: reads, runtimes: [token:x, "spiffe://*"], autonomy: draft_only}
    old: {expires: 2001-01-01}
"""


@pytest.fixture(scope="module")
def agents_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chosen = settings(tmp_path_factory.mktemp("agents_server"))
    (chosen.rego_dir / "config" / "vault.yaml").write_text(FILE)
    with serving(chosen) as server:
        with Client(server.address, timeout=30) as client:
            for agent in ("reader", "stray", "old"):
                client.authorize(Action("vault.read"), Identity(agent, "vault"))
        yield server


def listed(placet: Placet, server: Server, tenant: str, *more: str) -> Any:
    ran = placet("agents", "list", "--tenant", tenant, "--address", server.address, *more)
    assert ran.code == 0
    return ran


def test_the_command_lists_entries_and_strays(placet: Placet, agents_server: Server) -> None:
    document = listed(placet, agents_server, "vault", "-o", "json").document
    reader, old, stray = document["agents"]
    assert reader.pop("last_used_at").endswith("Z")
    assert reader == {
        "agent": "reader",
        "state": "active",
        "owner": "team-a",
        "purpose": "reads",
        "runtimes": ["token:x", "spiffe://*"],
        "expires_at": "",
        "autonomy": "draft_only",
    }
    assert (old["state"], old["expires_at"]) == ("expired", "2001-01-01T00:00:00.000000Z")
    assert (stray["agent"], stray["state"], stray["owner"]) == ("stray", "unregistered", "")
    assert (document["strict"], document["unlisted"]) == (False, 0)


def test_the_table_has_a_row_for_each(placet: Placet, agents_server: Server) -> None:
    printed = listed(placet, agents_server, "vault").out
    assert "token:x, spiffe://*" in printed
    assert "unregistered" in printed


def test_a_tenant_without_a_file_is_told(placet: Placet, agents_server: Server) -> None:
    assert "nobody" in listed(placet, agents_server, "nobody").complaint


async def test_both_clients_give_the_same(agents_server: Server) -> None:
    with ControlClient(agents_server.address) as control:
        found = control.agents("vault")
    assert [agent.state for agent in found.agents] == [AgentState.ACTIVE, AgentState.EXPIRED, AgentState.UNREGISTERED]
    assert [agent.autonomy for agent in found.agents] == [Autonomy.DRAFT_ONLY, *[Autonomy.UNSPECIFIED] * 2]
    async with AsyncControlClient(agents_server.address) as control:
        assert await control.agents("vault") == found
