"""Which policy was served last and which ones people confirmed, kept in the ledger: it outlives process and disk."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from placet.audit.decision_codec import SYSTEM_TENANT, policy_activated_commitment
from placet.commands.transitions import commit_with_retry
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
"""Archives up to here are kept in the ledger: a policy is some ten KB. Of a larger one only the digest is."""
SERVED_LAST: Final = RowKey(StateTable.CONTROL_REQUESTS, SYSTEM_TENANT, "policy.served_last")
"""Where the files are that any replica served last: one row, so it does not grow with replicas that come and go."""


def served_key(replica: str) -> RowKey:
    """Where it is remembered what the replica served last."""
    return RowKey(StateTable.CONTROL_REQUESTS, SYSTEM_TENANT, f"policy.served:{replica}")


def confirmed_key(revision: str) -> RowKey:
    """Where it is remembered that somebody confirmed the revision."""
    return RowKey(StateTable.CONTROL_REQUESTS, SYSTEM_TENANT, f"policy.confirmed:{revision}")


@dataclass(frozen=True, slots=True)
class LedgerMemory:
    """A `PolicyMemory` in the ledger, which is open when it is asked. What one replica confirms is confirmed on all."""

    ledger: Callable[[], Ledger]
    clock: Clock
    replica: str

    async def served(self) -> tuple[ServedSource, ...]:
        """What this replica served last, and what any did; those that are known, in this order."""
        keys = [served_key(self.replica), SERVED_LAST]
        rows = (await self.ledger().load(ReadSet(keys))).rows
        found = [_source(rows[key]) for key in keys if key in rows]
        whole = {each.digest: each for each in found if each.content}
        return tuple(whole.get(each.digest, each) for each in found)

    async def activated(self, event: PolicyEvent) -> None:
        """Record that the revision decides from now on, and remember the files that it is of."""
        await commit_with_retry(self.ledger(), lambda: self._activated(event))

    async def _activated(self, event: PolicyEvent) -> tuple[Commitment, None]:
        now_us = self.clock.wall_us()
        recorded = policy_activated_commitment(
            event.revision, event.engine_version, event.tenants, now_us, event.git_commit
        )
        if event.source is None:
            return recorded, None
        digest, content = event.source.digest, event.source.content
        kept = base64.b64encode(content).decode() if len(content) <= SOURCE_BYTES_MAX else ""
        bodies = {
            served_key(self.replica): {"digest": digest},
            SERVED_LAST: {"digest": digest, "files": kept},
        }
        rows = (await self.ledger().load(ReadSet(list(bodies)))).rows
        puts = [
            PutIfVersion(replace(rows.get(key) or Row(key, SERVED, now_us, b""), body=orjson.dumps(body)))
            for key, body in bodies.items()
        ]
        return replace(recorded, changes=tuple(puts)), None

    async def confirmed(self, revision: str) -> bool:
        """Whether somebody confirmed that the revision may take restrictions away."""
        key = confirmed_key(revision)
        return key in (await self.ledger().load(ReadSet([key]))).rows


def _source(row: Row) -> ServedSource:
    body = orjson.loads(row.body)
    return ServedSource(body["digest"], base64.b64decode(body.get("files", "")))
