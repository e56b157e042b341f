"""All readers on one connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.storage.sql.readers.decision_reader import DecisionReader
from placet.storage.sql.readers.event_reader import EventReader
from placet.storage.sql.state_tables import StateTables

if TYPE_CHECKING:
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements.dialect import Statements


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads decisions, events and state on one connection."""

    connection: Connection
    sql: Statements

    @property
    def decisions(self) -> DecisionReader:
        """Recorded decisions."""
        return DecisionReader(self.connection, self.sql)

    @property
    def event_reader(self) -> EventReader:
        """Records with a subject, and facts about recorded decisions."""
        return EventReader(self.connection, self.sql)

    @property
    def state(self) -> StateTables:
        """Rows and counters."""
        return StateTables(self.connection, self.sql)
