"""SQL text, compiled once from the tables by SQLAlchemy Core and then executed directly on the driver.

Core is used for its text in two dialects. Executing is left to the driver: a look-up costs 10 us through Core or its
`exec_driver_sql`, and 1 us on the driver (measured with SQLite in memory). A commit of 64 looks up 64 keys, and it may
cost 25 us each beside the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.storage.sql.statements.bulk import BulkStatements
from placet.storage.sql.statements.chains import ChainStatements, CheckpointStatements
from placet.storage.sql.statements.keys import KeyStatements
from placet.storage.sql.statements.records import PartStatements, RecordStatements
from placet.storage.sql.statements.state import StateStatements
from placet.storage.sql.statements.text import to_text

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class Statements:
    """All statements in one dialect, by table. Parameters are positional; each statement lists its own."""

    def __init__(self, dialect: Dialect) -> None:
        text = to_text(dialect)
        self.records = RecordStatements(text)
        self.parts = PartStatements(text)
        self.keys = KeyStatements(text)
        self.chains = ChainStatements(text)
        self.checkpoints = CheckpointStatements(text)
        self.state = StateStatements(dialect)
        self.bulk = BulkStatements(dialect)
