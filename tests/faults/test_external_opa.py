"""An external OPA and a Placet that read one bundle server, while policy changes: two real processes of each kind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import pytest

from placet.sdk import Action, Client, Identity
from tests.faults.distribution import opa_revision, pulling_opa
from tests.faults.serving import START_SECONDS_MAX, Server, eventually
from tests.policy.releases import damaged

if TYPE_CHECKING:
    from pathlib import Path

    from placet.sdk import Decision
    from tests.faults.distribution import Published

READ = Action("jira.search", {"query": "x"})
STAYS = Action("datadog.query", {"query": "x"})
UNKNOWN = "pdp.unknown_tool"
"""Denies a tool that the tenant's file does not list, before OPA is asked."""
AGENT = Identity(agent="triage-agent", tenant="acme")
CHANGE_SECONDS_MAX = 60.0
"""Far more than a change takes: a machine may be overloaded."""


class Caller:
    """Asks again and again, and keeps every answer."""

    def __init__(self, address: str) -> None:
        self.answers: list[Decision] = []
        self._address = address
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(START_SECONDS_MAX)

    def _ask(self) -> None:
        with Client(self._address, timeout=30) as client:
            while not self._ends.wait(0.02):
                self.answers += [client.authorize(action, AGENT) for action in (READ, STAYS)]


@pytest.mark.timeout(300)
def test_the_tenants_change_with_opas_revision(published: Published, tmp_path: Path) -> None:
    tenant = published.rego_dir / "config/acme.yaml"
    with_search = tenant.read_text()
    first, content = published.bundle("first")
    published.push(content)
    with pulling_opa(tmp_path, published.site, published.public) as opa:
        server = Server(
            tmp_path / "server",
            tmp_path / "none",
            opa_address=f"http://{opa}",
            opa_timeout_ms=5_000,
            policy_url=published.url,
            policy_verification_key=published.public,
        )
        try:
            server.wait_until_ready()
            eventually(lambda: server.status().serving, START_SECONDS_MAX)
            assert server.status().policy_revision == first
            tenant.write_text(with_search.replace("jira.search", "jira.find"))
            second, content = published.bundle("second")
            with Caller(server.address) as caller:
                eventually(lambda: caller.answers, START_SECONDS_MAX)
                published.push(content)
                # both actions are asked again, one after the other
                eventually(
                    lambda: {answer.policy_revision for answer in caller.answers[-2:]} == {second}, CHANGE_SECONDS_MAX
                )
            seen = {(answer.policy_revision, answer.effect, answer.rule_id) for answer in caller.answers}
            # OPA decides this one by both revisions, and nothing is denied on the way:
            assert {each[:2] for each in seen if each[2] != UNKNOWN} == {(first, "allow"), (second, "allow")}
            assert (second, "deny", UNKNOWN) in seen
            assert (first, "deny", UNKNOWN) not in seen

            published.put(damaged(published.bundle("third")[1]))
            eventually(lambda: "changed after it was signed" in server.status().last_error, START_SECONDS_MAX)
            assert opa_revision(opa) == second  # OPA verifies the same signature
            with Client(server.address, timeout=30) as client:
                assert client.authorize(READ, AGENT).policy_revision == second
            assert server.stop() == 0
        finally:
            server.kill()
