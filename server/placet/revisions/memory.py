"""Remembers in the ledger which policy was served last and which ones people confirmed.

The ledger outlives the process and its disk. Policy sources use this through the port `PolicyMemory`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import structs

from placet.audit.decision_codec import SYSTEM_TENANT, policy_activated_commitment
from placet.commands.execute import commit_with_retry
from placet.kernel.state import PutIfVersion, ReadSet, Row, RowKey, StateTable
from placet.revisions.status import ServedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.kernel.clock import Clock
    from placet.revisions.status import PolicyEvent

SERVED: Final = "served"
CONFIRMED: Final = "confirmed"
SOURCE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Larger archives are not stored in the ledger, only their digests. A typical policy has about ten KB."""
SERVED_LAST: Final = RowKey(StateTable.CONTROL_REQUESTS, SYSTEM_TENANT, "policy.served_last")
"""The row with the files that any replica served last. One row for all, so it does not grow with new replicas."""


NEWEST_RELEASE: Final = RowKey(StateTable.CONTROL_REQUESTS, SYSTEM_TENANT, "policy.newest_release")
"""The row that says when the newest release was created that any replica served. It never goes back."""


def served_key(replica: str) -> RowKey:
    """Return the key of the row that says which policy the replica served last."""
    return RowKey(StateTable.CONTROL_REQUESTS, SYSTEM_TENANT, f"policy.served:{replica}")


def confirmed_key(revision: str) -> RowKey:
    """Return the key of the row that exists once the revision is confirmed.

    The confirmation of a release that is older than the newest one is stored under ``revision@time of the newest one``,
    so that it does not hold any more when a newer one was served.
    """
    return RowKey(StateTable.CONTROL_REQUESTS, SYSTEM_TENANT, f"policy.confirmed:{revision}")


@dataclass(frozen=True, slots=True)
class LedgerMemory:
    """A `PolicyMemory` in the ledger. A confirmation on one replica holds for all."""

    ledger: Callable[[], Ledger]
    """Returns the ledger, which must be open by then."""
    clock: Clock
    replica: str

    async def served(self) -> tuple[ServedSource, ...]:
        """Return what this replica served last, then what any replica served last, as far as they are known."""
        keys = [served_key(self.replica), SERVED_LAST]
        rows = (await self.ledger().load(ReadSet(keys))).rows
        sources = [_source(rows[key]) for key in keys if key in rows]
        with_content = {source.digest: source for source in sources if source.content}
        return tuple(with_content.get(source.digest, source) for source in sources)

    async def activated(self, event: PolicyEvent) -> None:
        """Record that the revision is served from now on, and remember its files. Raises LedgerUnavailableError."""
        await commit_with_retry(self.ledger(), lambda: self._activated(event))

    async def _activated(self, event: PolicyEvent) -> tuple[Commitment, None]:
        now_us = self.clock.wall_us()
        record = policy_activated_commitment(
            event.revision, event.engine_version, event.tenants, now_us, event.git_commit, event.pusher.name
        )
        if event.source is None:
            return record, None
        digest, content = event.source.digest, event.source.content
        stored = base64.b64encode(content).decode() if len(content) <= SOURCE_BYTES_MAX else ""
        bodies: dict[RowKey, dict[str, Any]] = {
            served_key(self.replica): {"digest": digest},
            SERVED_LAST: {"digest": digest, "files": stored},
        }
        if event.source.created_at_us > await self.newest_release_us():
            bodies[NEWEST_RELEASE] = {"created_at_us": event.source.created_at_us}
        rows = (await self.ledger().load(ReadSet(list(bodies)))).rows
        puts = [
            PutIfVersion(structs.replace(rows.get(key) or Row(key, SERVED, now_us, b""), body=orjson.dumps(body)))
            for key, body in bodies.items()
        ]
        return structs.replace(record, changes=tuple(puts)), None

    async def newest_release_us(self) -> int:
        """Return when the newest release was created that any replica served; 0 when none was."""
        row = (await self.ledger().load(ReadSet([NEWEST_RELEASE]))).rows.get(NEWEST_RELEASE)
        return int(orjson.loads(row.body)["created_at_us"]) if row is not None else 0

    async def confirmed(self, revision: str) -> bool:
        """Return whether a person confirmed that the revision may remove restrictions."""
        key = confirmed_key(revision)
        return key in (await self.ledger().load(ReadSet([key]))).rows


def _source(row: Row) -> ServedSource:
    body = orjson.loads(row.body)
    return ServedSource(body["digest"], base64.b64decode(body.get("files", "")))
