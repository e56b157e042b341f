"""Reads records that can be watched for, those with a subject, and facts about recorded decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from placet.kernel.state import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from placet.kernel.state import Cursor
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements.dialect import Statements


@dataclass(frozen=True, slots=True)
class EventReader:
    """Reads events on a connection."""

    connection: Connection
    sql: Statements

    def events(self, after: Cursor, limit: int) -> list[Event]:
        """Return records with a subject after the cursor, at most `limit` of each writer, in the writer's order."""
        positions = [(writer, after.get(writer, 0), limit) for writer in self.chain_heads()]
        rows_by_writer = self.connection.fetch_lists(self.sql.records.with_subject_after, positions)
        return _events(row for rows in rows_by_writer for row in rows)

    def events_of(self, tenant: str, subject: str) -> list[Event]:
        """Return all records about one subject, by time."""
        return _events(self.connection.execute(self.sql.records.about_subject, (tenant, subject)).fetchall())

    def chain_heads(self) -> dict[str, int]:
        """Return the end of every chain."""
        return dict(self.connection.execute(self.sql.chains.heads).fetchall())

    def newest_times(self) -> dict[str, int]:
        """Return the time of each chain's last record by sequence: writer -> microseconds."""
        return dict(self.connection.execute(self.sql.chains.newest_times).fetchall())

    def agents_last_used(self, tenant: str, from_us: int, limit: int) -> dict[str, int]:
        """Return the agents in the tenant's decisions since a time, with the time of the newest one."""
        rows = self.connection.execute(self.sql.records.agents_last_used, (tenant, from_us, limit)).fetchall()
        return {agent: int(at_us) for agent, at_us in rows if agent}

    def agents(self, tenant: str, limit: int) -> list[str]:
        """Return the agents in the tenant's decisions, at most `limit`."""
        return [agent for (agent,) in self.connection.execute(self.sql.records.agents, (tenant, limit)).fetchall()]

    def count_effects(self, tenant: str, tool: str, newest: int) -> dict[str, int]:
        """Return how often each effect was decided for the tool among the tenant's `newest` latest decisions."""
        return dict(self.connection.execute(self.sql.records.count_effects, (tenant, newest, tool)).fetchall())


def _events(rows: Iterable[Any]) -> list[Event]:
    return [
        Event(writer, sequence, tenant, kind, subject, orjson.loads(body))
        for writer, sequence, tenant, kind, subject, body in rows
    ]
