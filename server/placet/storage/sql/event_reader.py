"""Records that somebody watches for: those with a subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from placet.kernel.state import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from placet.kernel.state import Cursor
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements import Statements


@dataclass(frozen=True, slots=True)
class EventReader:
    """Reads what happened, on a connection."""

    connection: Connection
    sql: Statements

    def events(self, after: Cursor, limit: int) -> list[Event]:
        """Records with a subject beyond the cursor, at most so many of each writer, in the writer's order."""
        wanted = [(writer, after.get(writer, 0), limit) for writer in self.chain_heads()]
        found = self.connection.fetch_lists(self.sql.records.with_subject_after, wanted)
        return _events(row for rows in found for row in rows)

    def events_of(self, tenant: str, subject: str) -> list[Event]:
        """All records about one subject, by time."""
        return _events(self.connection.execute(self.sql.records.about_subject, (tenant, subject)).fetchall())

    def chain_heads(self) -> dict[str, int]:
        """Where every chain ends."""
        return dict(self.connection.execute(self.sql.chains.heads).fetchall())

    def newest_times(self) -> dict[str, int]:
        """When the newest record of every chain, by sequence, was made: writer -> microseconds."""
        return dict(self.connection.execute(self.sql.chains.newest_times).fetchall())

    def agents(self, tenant: str, limit: int) -> list[str]:
        """Agents of the tenant that were ever decided for, at most so many."""
        return [agent for (agent,) in self.connection.execute(self.sql.records.agents, (tenant, limit)).fetchall()]

    def count_effects(self, tenant: str, tool: str, newest: int) -> dict[str, int]:
        """How often each effect was decided for the tool, among so many of the tenant's newest decisions."""
        return dict(self.connection.execute(self.sql.records.count_effects, (tenant, newest, tool)).fetchall())


def _events(rows: Iterable[Any]) -> list[Event]:
    return [
        Event(writer, sequence, tenant, kind, subject, orjson.loads(body))
        for writer, sequence, tenant, kind, subject, body in rows
    ]
