"""Between replicas: a kill switch is set before a decision is committed, or after; never in the middle of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg

from placet.audit.records import Committed, Conflict
from placet.controls.versions import bump, version_key
from placet.kernel.state import RequireVersion
from placet.storage.connections.postgres import SQL
from tests.storage.making import START_US
from tests.storage.state_making import change, reserve, usage

if TYPE_CHECKING:
    from tests.storage.replicas import Replicas

MOVED = bump(None, "acme", START_US)
"""The first of the tenant: there is no row yet that could be locked."""
EXPECTED = RequireVersion(version_key("acme"), 0)
STORE = "INSERT INTO control_versions VALUES ('acme', 'version', 1, 'current', 0, NULL, '{}')"


async def test_who_sets_a_switch_waits_for_decisions_under_way(replicas: Replicas) -> None:
    """So when it is set, each allow that came before is there to be seen, and none comes later."""
    ledger = replicas.open()
    with psycopg.connect(replicas.url) as deciding:
        deciding.execute(SQL.state.rest_on_controls.encode())
        setting = asyncio.ensure_future(ledger.commit([change(MOVED)]))
        await replicas.waiting()
        assert not setting.done()
    assert list(await setting) == [Committed()]


async def test_a_decision_waits_for_who_is_setting_a_switch(replicas: Replicas) -> None:
    ledger = replicas.open()
    with psycopg.connect(replicas.url) as setting:
        setting.execute(SQL.state.change_controls.encode())
        setting.execute(STORE.encode())
        deciding = asyncio.ensure_future(ledger.commit([change(EXPECTED, reserve(1))]))
        await replicas.waiting()
    assert list(await deciding) == [Conflict(EXPECTED)]
    assert await usage(ledger) == (0, 0)


async def test_decisions_do_not_wait_for_each_other(replicas: Replicas) -> None:
    ledger = replicas.open()
    with psycopg.connect(replicas.url) as deciding:
        deciding.execute(SQL.state.rest_on_controls.encode())
        assert list(await ledger.commit([change(EXPECTED, reserve(1))])) == [Committed()]
