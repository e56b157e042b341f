"""A ledger in memory with the contract of the stored ones, for tests. It is also the simplest ledger to read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from placet.audit.chain import checkpoint_body, signed_bytes
from placet.audit.decision_codec import keys_purged_commitment, recorded_decision
from placet.audit.records import DecisionPage, IdempotencyMismatch, IdempotentReplay, RecordKind
from placet.audit.verification.verify_chain import StoredCheckpoint, StoredHead, StoredRecord
from placet.audit.verification.verify_trail import verify_trail
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import PAGE_SIZE_MAX
from placet.kernel.state import CounterRow, Event, PutIfVersion, RowPage, Snapshot, Usage, WindowTotal
from placet.storage.sql.commit_plan import (
    ChainState,
    advance,
    checkpoint_due,
    index_row,
    link_planned,
    new_checkpoint,
    plan_commit,
)
from placet.storage.sql.paging import next_token, place_before, write_token
from placet.storage.sql.readers import decision_reader as reading
from placet.storage.sql.schema import CONDITIONS
from placet.storage.sql.statements.records import INDEX_COLUMNS
from placet.storage.sql.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from placet.audit.chain import LinkedRecord
    from placet.audit.records import Commitment, CommitResult, DecisionQuery, RecordedDecision, VerifyReport
    from placet.kernel.clock import Clock
    from placet.kernel.state import CounterKey, Cursor, ReadSet, Row, RowKey, RowQuery, StateTable
    from placet.signing.keys import SigningKey


class MemoryLedger:
    """A `placet.audit.ports.Ledger` in memory."""

    def __init__(self, *, writer: str, signing_key: SigningKey, clock: Clock) -> None:
        self._signing_key = signing_key
        self._clock = clock
        self._state = ChainState(writer)
        self.log: list[LinkedRecord] = []  # all records; tests read it
        self._checkpoints: list[StoredCheckpoint] = []
        self._keys: dict[tuple[str, str, str], LinkedRecord] = {}
        self._stored_at_us: dict[tuple[str, str, str], int] = {}
        self.stored: dict[RowKey, Row] = {}  # all rows; tests read it
        self._counters: dict[CounterKey, Usage] = {}
        self._resets: dict[CounterKey, int] = {}
        self._wakes: list[Callable[[], None]] = []
        self._closed = False

    @property
    def records_since_checkpoint(self) -> int:
        """Return the number of records that no checkpoint covers."""
        return self._state.head.sequence - self._state.checkpoint_sequence

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        """Commit as `SqliteLedger.commit` does, but not durably."""
        self._require_open()
        now_us = self._clock.wall_us()
        working = UnitOfWork(self.stored, self._counters, now_us)
        screening = plan_commit(commitments, self._known, working)
        linked = link_planned(self._state, screening)
        for record in linked:
            self.log.append(record)
            if (idempotency := record.commitment.idempotency) is not None:
                key = (record.commitment.tenant, idempotency.caller, idempotency.key)
                before_us = self._stored_at_us.get(key, 0) if idempotency.replaces else 0
                self._keys[key] = record
                self._stored_at_us[key] = max(record.commitment.recorded_at_us, before_us)
        self.stored.update(working.rows)
        for counter, (used, reserved, created_at_us, resets_at_us) in working.counters.items():
            self._counters[counter] = Usage(used, reserved, created_at_us)
            self._resets[counter] = resets_at_us
        self._state = advance(self._state, linked)
        if checkpoint_due(self._state):
            self._sign()
        if any(record.commitment.subject for record in linked):
            for wake in self._wakes:
                wake()
        return screening.results

    async def checkpoint(self) -> None:
        """Sign a checkpoint when there are records that none covers."""
        self._require_open()
        if self.records_since_checkpoint:
            self._sign()

    async def query_decisions(self, query: DecisionQuery) -> DecisionPage:
        """Return a page of decisions, newest first. Raises InvalidRequestError for a wrong page_token."""
        self._require_open()
        after = reading.place_before(query.page_token)
        size = min(query.page_size, PAGE_SIZE_MAX)
        matching = sorted((record for record in self.log if _matches(record, query)), key=self._position, reverse=True)
        rest = [record for record in matching if after is None or self._position(record) < after]
        page = rest[:size]
        token = write_token(self._position(page[-1])) if len(rest) > size else ""
        return DecisionPage(tuple(_decision(record) for record in page), token)

    async def get_decision(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """Return a decision of the tenant; None when there is none."""
        self._require_open()
        record = self._decided(tenant, decision_id)
        return _decision(record) if record is not None else None

    async def verify(self, *, state: bool = False) -> VerifyReport:
        """Verify the chain and its checkpoints, with `state` also the state that follows from the records."""
        self._require_open()
        return verify_trail(self, self._signing_key.public.check, state=state)

    async def load(self, read_set: ReadSet) -> Snapshot:
        """Return the requested state."""
        self._require_open()
        return Snapshot(
            {key: self.stored[key] for key in read_set.rows if key in self.stored},
            {key: self._counters[key] for key in read_set.counters if key in self._counters},
        )

    async def list_rows(self, query: RowQuery) -> RowPage:
        """Return a page of rows, newest first. Raises InvalidRequestError for a wrong page_token."""
        self._require_open()
        before = place_before(query.page_token)
        rows = sorted(
            (
                row
                for key, row in self.stored.items()
                if (key.table, key.tenant) == (query.table, query.tenant)
                and query.status in {"", row.status}
                and (before is None or (row.created_at_us, key.id) < before)
            ),
            key=lambda row: (row.created_at_us, row.key.id),
            reverse=True,
        )
        page = rows[: min(query.page_size, PAGE_SIZE_MAX)]
        return RowPage(tuple(page), next_token(page[-1]) if len(rows) > len(page) else "")

    async def tenants_with(self, table: StateTable, status: str) -> Sequence[str]:
        """Return the tenants that have a row with the status."""
        self._require_open()
        return sorted({key.tenant for key, row in self.stored.items() if (key.table, row.status) == (table, status)})

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        """Return due rows, the earliest first."""
        self._require_open()
        due = [row for key, row in self.stored.items() if key.table is table and 0 < row.due_at_us <= now_us]
        return sorted(due, key=lambda row: row.due_at_us)[:limit]

    async def count_due(self, table: StateTable) -> int:
        """Return the number of rows that are due now or later."""
        self._require_open()
        return sum(key.table is table and row.due_at_us > 0 for key, row in self.stored.items())

    async def top_counters(
        self, tenant: str, budget_id: str, unit: str, window_key: str, limit: int
    ) -> Sequence[CounterRow]:
        """Return the largest counters of a budget in one window."""
        self._require_open()
        counters = [
            CounterRow(key, usage, self._resets[key])
            for key, usage in self._counters.items()
            if (key.tenant, key.budget_id, key.unit, key.window_key) == (tenant, budget_id, unit, window_key)
        ]
        return sorted(counters, key=lambda row: (-row.usage.used - row.usage.reserved, row.key.scope_key))[:limit]

    async def window_totals(self, tenant: str, budget_id: str, limit: int) -> Sequence[WindowTotal]:
        """Return the totals of a budget by unit and window."""
        self._require_open()
        windows: dict[tuple[str, str], list[CounterKey]] = {}
        for key in self._counters:
            if (key.tenant, key.budget_id) == (tenant, budget_id):
                windows.setdefault((key.unit, key.window_key), []).append(key)
        totals = [
            WindowTotal(
                *window,
                sum(self._counters[key].used for key in keys),
                sum(self._counters[key].reserved for key in keys),
                len(keys),
                max(self._resets[key] for key in keys),
            )
            for window, keys in sorted(windows.items(), reverse=True)
        ]
        return totals[:limit]

    async def budget_ids_with_usage(self, tenant: str, limit: int) -> Sequence[str]:
        """Return the ids of the budgets that have counters."""
        self._require_open()
        return sorted({key.budget_id for key in self._counters if key.tenant == tenant})[:limit]

    async def events(self, after: Cursor, limit: int) -> Sequence[Event]:
        """Return the records after the cursor that have a subject."""
        self._require_open()
        read = after.get(self._state.writer, 0)
        records = [record for record in self.log if record.commitment.subject and record.sequence > read]
        return [self._event(record) for record in records[:limit]]

    async def events_of(self, tenant: str, subject: str) -> Sequence[Event]:
        """Return all records about one subject, by time."""
        self._require_open()
        about = (tenant, subject)
        records = [record for record in self.log if (record.commitment.tenant, record.commitment.subject) == about]
        return [self._event(record) for record in sorted(records, key=self._position)]

    async def chain_heads(self) -> Cursor:
        """Return the cursor at the end of the chain."""
        self._require_open()
        return {self._state.writer: self._state.head.sequence}

    async def agents(self, tenant: str, limit: int) -> Sequence[str]:
        """Return the agents that decisions were made for."""
        self._require_open()
        agents = {record.commitment.index.agent for record in self.log if record.commitment.tenant == tenant}
        return sorted(filter(None, agents))[:limit]

    async def agents_last_used(self, tenant: str, from_us: int, limit: int) -> Mapping[str, int]:
        """Return the agents that decisions were made for since a time, with the time of the newest one."""
        self._require_open()
        used: dict[str, int] = {}
        for record in self.log:
            agent, at_us = record.commitment.index.agent, record.commitment.recorded_at_us
            if record.commitment.tenant == tenant and agent and at_us >= from_us:
                used[agent] = max(at_us, used.get(agent, 0))
        return dict(sorted(used.items(), key=lambda item: (-item[1], item[0]))[:limit])

    async def count_effects(self, tenant: str, tool: str, newest: int) -> Mapping[str, int]:
        """Return how often each effect occurs among the `newest` decisions of the tenant, for one tool."""
        self._require_open()
        decided = [
            record.commitment.index
            for record in self.log
            if record.commitment.kind is RecordKind.DECISION_MADE and record.commitment.tenant == tenant
        ]
        return Counter(index.effect for index in decided[-newest:] if index.tool == tool)

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        """Write rows without an audit record. Returns for each whether it was still at its version, and so written."""
        self._require_open()
        working = UnitOfWork(self.stored, self._counters, self._clock.wall_us())
        written = [working.apply((PutIfVersion(row),)) is None for row in rows]
        self.stored.update(working.rows)
        return written

    async def purge_idempotency_keys(self, before_us: int, limit: int) -> int:
        """Delete old idempotency keys and record it. Returns how many."""
        self._require_open()
        since = self._stored_at_us
        old = sorted((key for key in since if since[key] < before_us), key=lambda key: since[key])[:limit]
        if old:
            swept_us = since[old[-1]] + 1
            for key in old:
                del self._keys[key], since[key]
            await self.commit([keys_purged_commitment(swept_us, len(old), self._clock.wall_us())])
        return len(old)

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call `wake` after each commit that stores a record with a subject."""
        self._wakes.append(wake)

    async def close(self) -> None:
        """Fail all later calls with LedgerUnavailableError."""
        self._closed = True

    # The methods below are the trail that `verify_trail` reads.

    def writers(self) -> list[str]:
        """Return the only writer."""
        return [self._state.writer]

    def head(self, _writer: str) -> StoredHead:
        """Return the end of the chain."""
        return StoredHead(self._state.head.sequence, self._state.head.hash, self._state.checkpoint_sequence)

    def records(self, writer: str) -> Iterator[StoredRecord]:
        """Return the records by sequence."""
        for record in self.log:
            commitment = record.commitment
            yield StoredRecord(
                columns={
                    "tenant": commitment.tenant,
                    "writer": writer,
                    "sequence": record.sequence,
                    "kind": commitment.kind.value,
                    "recorded_at_us": commitment.recorded_at_us,
                },
                index_columns=dict(zip(INDEX_COLUMNS, index_row(commitment), strict=True)),
                body=record.body,
                previous_hash=record.previous_hash,
                hash=record.hash,
                parts={name: (salt, content) for name, salt, content in record.parts},
            )

    def checkpoints(self, _writer: str) -> Iterator[StoredCheckpoint]:
        """Return the checkpoints by sequence."""
        return iter(self._checkpoints)

    def key(self, tenant: str, caller: str, idempotency_key: str) -> tuple[Any, ...] | None:
        """Return the row of an idempotency key; None when there is none."""
        record = self._keys.get((tenant, caller, idempotency_key))
        if record is None or record.commitment.idempotency is None:
            return None
        idempotency, decision_id = record.commitment.idempotency, index_row(record.commitment)[0]
        pointer = (idempotency.request_digest, decision_id, self._state.writer, record.sequence)
        return (*pointer, idempotency.replaces, self._stored_at_us[tenant, caller, idempotency_key])

    def decision(self, tenant: str, decision_id: str) -> bytes | None:
        """Return the body of the record of a decision; None when there is none."""
        record = self._decided(tenant, decision_id)
        return record.body if record is not None else None

    def parts_count(self) -> int:
        """Return the number of stored parts."""
        return sum(len(record.parts) for record in self.log)

    def keys_count(self) -> int:
        """Return the number of stored idempotency keys."""
        return len(self._keys)

    def rows(self, table: StateTable) -> Iterator[tuple[Any, ...]]:
        """Return all rows of a table."""
        for key, row in self.stored.items():
            if key.table is table:
                yield key.tenant, key.id, row.version, row.status, row.created_at_us, row.due_at_us or None, row.body

    def counters(self) -> Iterator[tuple[Any, ...]]:
        """Return all counters."""
        for key, usage in self._counters.items():
            yield *key, usage.used, usage.reserved, usage.created_at_us, self._resets[key]

    def _decided(self, tenant: str, decision_id: str) -> LinkedRecord | None:
        for record in self.log:
            if (record.commitment.tenant, index_row(record.commitment)[0]) == (tenant, decision_id):
                return record
        return None

    def _known(self, commitment: Commitment) -> CommitResult | None:
        idempotency = commitment.idempotency
        if idempotency is None:
            return None
        record = self._keys.get((commitment.tenant, idempotency.caller, idempotency.key))
        if record is None:
            return None
        earlier = record.commitment.idempotency
        if earlier is None or earlier.request_digest != idempotency.request_digest:
            return IdempotencyMismatch()
        if index_row(record.commitment)[0] == idempotency.replaces:
            return None
        return IdempotentReplay(_decision(record).decision)

    def _sign(self) -> None:
        checkpoint = new_checkpoint(self._state, self._signing_key.key_id, self._clock.wall_us())
        body = checkpoint_body(checkpoint)
        signature = self._signing_key.sign(signed_bytes(body))
        self._checkpoints.append(StoredCheckpoint(checkpoint.writer, checkpoint.sequence, body, signature))
        self._state = advance(self._state, (), checkpoint)

    def _event(self, record: LinkedRecord) -> Event:
        commitment, body = record.commitment, orjson.loads(record.body)
        return Event(
            self._state.writer, record.sequence, commitment.tenant, commitment.kind.value, commitment.subject, body
        )

    def _position(self, record: LinkedRecord) -> tuple[int, str, int]:
        return (record.commitment.recorded_at_us, self._state.writer, record.sequence)

    def _require_open(self) -> None:
        if self._closed:
            raise LedgerUnavailableError("the ledger is closed")


def _decision(record: LinkedRecord) -> RecordedDecision:
    return recorded_decision(record.body, {name: content for name, _, content in record.parts}, record.hash)


def _matches(record: LinkedRecord, query: DecisionQuery) -> bool:
    commitment = record.commitment
    conditions = {name: value for name in CONDITIONS if (value := getattr(query, name))}
    return (
        commitment.kind is RecordKind.DECISION_MADE
        and commitment.tenant == query.tenant
        and all(getattr(commitment.index, name) == value for name, value in conditions.items())
        and query.person in {"", commitment.index.user}
        and all(member in record.body for member in reading.members_of(query))
        and commitment.recorded_at_us >= query.decided_from_us
        and (not query.decided_until_us or commitment.recorded_at_us < query.decided_until_us)
    )
