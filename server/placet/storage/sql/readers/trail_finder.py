"""Reads what a database holds of the chains and places that were signed or noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.trail_break import FoundTrail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.trail_break import Place
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements.dialect import Statements


def find_trail(connection: Connection, sql: Statements, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
    """Return the heads of all chains, the checkpoints at `signed`, and the record hashes at `noted`.

    The database must have a schema.
    """
    heads = {writer: sequence for writer, sequence in connection.execute(sql.chains.heads) if type(sequence) is int}
    checkpoints = zip(signed, connection.fetch_each(sql.checkpoints.at, signed), strict=True)
    records = zip(noted, connection.fetch_each(sql.records.hash_at, noted), strict=True)
    return FoundTrail(
        heads,
        {place: row[2] for place, row in checkpoints if row is not None},
        {place: row[0].hex() for place, row in records if row is not None and type(row[0]) is bytes},
    )
