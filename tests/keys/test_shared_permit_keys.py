"""Permit keys in the database: created once, rotated without a gap, and refused when they cannot be trusted."""

from __future__ import annotations

import asyncio
from dataclasses import replace as replaced
from typing import TYPE_CHECKING

import orjson
import pytest
from msgspec import structs

from placet.audit.records import Conflict, RecordKind
from placet.kernel.errors import (
    AbortedError,
    ConfigurationError,
    FailedPreconditionError,
    LedgerUnavailableError,
    PermitKeysUnavailableError,
)
from placet.kernel.limits import (
    PERMIT_KEY_OVERLAP_SECONDS,
    SHARED_KEYS_AGE_SECONDS_MAX,
    SHARED_KEYS_MAX,
)
from placet.kernel.reasons import KEYS_FULL
from placet.kernel.state import PutIfVersion, ReadSet
from placet.keys.documents import PERMIT_KEYS, key_set_row
from placet.keys.model import KeySet
from placet.permits.claims import KeyState, PermitKey
from placet.signing.key_encryption import parse_key_encryption
from placet.signing.key_vault import PermitKeyVault
from tests.keys.key_env import Process, kek, memory_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.state import Snapshot
    from tests.support.memory_ledger import MemoryLedger


async def two_processes() -> tuple[Process, Process]:
    ledger = memory_ledger()
    first, second = Process(ledger), Process(ledger)
    second.clock = first.clock
    second.__post_init__()
    await first.start()
    await second.start()
    return first, second


async def test_processes_share_one_first_key() -> None:
    first, second = await two_processes()
    assert first.kids() == second.kids() == [first.kid()]
    assert first.permit() == second.permit()
    assert second.verifies(first.permit())


async def test_processes_that_start_together_agree_on_one_key() -> None:
    """Each reads that there is no key before any of them writes one."""

    class Slow:
        """A ledger whose reads take a turn of the loop."""

        def __init__(self, ledger: MemoryLedger) -> None:
            self._ledger = ledger

        async def load(self, read_set: ReadSet) -> Snapshot:
            found = await self._ledger.load(read_set)
            await asyncio.sleep(0)
            return found

        async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
            return await self._ledger.commit(commitments)

    memory = memory_ledger()
    processes = [Process(Slow(memory)) for _ in range(5)]  # type: ignore[arg-type] # the part that is used
    await asyncio.gather(*(each.start() for each in processes))
    assert len({tuple(each.kids()) for each in processes}) == 1
    assert [record.commitment.kind for record in memory.log] == [RecordKind.PERMIT_KEY_CREATED]


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_verifies_on() -> None:
    first, second = await two_processes()
    old, permit = first.kid(), first.permit()
    new = await first.rotate(after_seconds=60)
    assert (first.kids(), first.kid()) == ([old, new], old), "its own process knows it at once"
    await second.keys.renew()
    assert (second.kids(), second.kid()) == ([old, new], old)
    first.advance(60)
    assert first.kid() == second.kid() == new
    assert second.verifies(first.permit())
    assert first.verifies(permit)
    first.advance(PERMIT_KEY_OVERLAP_SECONDS - 1)
    assert first.kids() == [old, new]
    first.advance(1)
    await first.keys.renew()
    assert (first.kids(), first.verifies(permit)) == ([new], False)


async def test_a_permit_of_a_process_that_has_not_read_yet_verifies_everywhere() -> None:
    first, second = await two_processes()
    first.advance(1)
    await first.rotate(after_seconds=0)
    assert second.kid() != first.kid()
    assert first.verifies(second.permit())


async def test_an_answer_given_again_after_a_rotation_has_the_same_permit() -> None:
    first, second = await two_processes()
    decided_at, permit = first.now - 1, first.permit(first.now - 1)
    await first.rotate(after_seconds=0)
    await second.keys.renew()
    assert first.permit(decided_at) == second.permit(decided_at) == permit


async def test_a_rotation_removes_what_verifies_nothing_any_longer() -> None:
    first, _ = await two_processes()
    old = first.kid()
    middle = await first.rotate(after_seconds=1)
    first.advance(PERMIT_KEY_OVERLAP_SECONDS + 1)
    await first.keys.renew()
    newest = await first.rotate(after_seconds=0)
    row = first.ledger.stored[PERMIT_KEYS]  # type: ignore[attr-defined] # the ledger in memory
    assert [each["kid"] for each in orjson.loads(row.body)["keys"]] == [middle, newest]
    assert old not in row.body.decode()


async def test_rotations_within_a_second_make_a_key_each() -> None:
    first, _ = await two_processes()
    made = [await first.rotate(after_seconds=0) for _ in range(3)]
    starts = [key.signs_from for key in first.keys.known()]
    assert first.kids()[1:] == made
    assert starts == sorted(set(starts))


async def test_a_key_for_now_signs_although_another_one_waits() -> None:
    first, _ = await two_processes()
    later = await first.rotate(after_seconds=3_600)
    now = await first.rotate(after_seconds=1)
    first.advance(1)
    assert first.kid() == now
    first.advance(3_599)
    assert first.kid() == later


async def test_withdrawn_keys_verify_nothing_and_the_new_one_signs_at_once() -> None:
    first, second = await two_processes()
    permit = first.permit()
    await first.rotate(after_seconds=3_600)
    new = await first.rotate(after_seconds=3_600, withdraw=True)
    await second.keys.renew()
    for process in (first, second):
        assert (process.kids(), process.kid(), process.kid(first.now - 1)) == ([new], new, new)
        assert not process.verifies(permit)


async def test_a_clock_that_was_set_back_signs_with_what_there_is() -> None:
    first, _ = await two_processes()
    old = first.kid()
    first.clock.wall -= 86_400 * 1_000_000
    assert (first.kid(), first.kids()) == (old, [old])


async def test_keys_of_the_folder_verify_on_when_keys_move_into_the_database() -> None:
    ledger = memory_ledger()
    other = Process(ledger)
    await other.start()
    [folder_key] = other.keys.known()
    ended = replaced(folder_key, key_id="folder", signs_until=other.now)
    moved = Process(ledger, other.clock, earlier=(ended,))
    await moved.start()
    assert moved.kids() == ["folder", other.kid()]
    assert moved.kid() == other.kid()
    signing = moved.kid()
    moved.advance(PERMIT_KEY_OVERLAP_SECONDS)
    await moved.keys.renew()
    assert moved.kids() == [signing]


def key_of_the_folder(key_id: str, signs_from: int, until: int) -> PermitKey:
    return PermitKey(key_id, b"", signs_from, until)


async def test_a_withdrawal_covers_keys_that_moved_from_the_folder() -> None:
    """In the process that withdraws, in another one, and after a restart and a rotation."""
    ledger, clock = memory_ledger(), Process(memory_ledger()).clock
    now, day = clock.wall // 1_000_000, PERMIT_KEY_OVERLAP_SECONDS
    earlier = tuple(
        key_of_the_folder(key_id, signs_from, now + day)
        for key_id, signs_from in (("used", now - 100), ("waited", now + day), ("later", now + day + 1))
    )
    first, second = Process(ledger, clock, earlier=earlier), Process(ledger, clock, earlier=earlier)
    await first.start()
    await second.start()
    old = first.kid()
    assert first.kids() == second.kids() == ["used", "waited", "later", old]
    new = await first.rotate(withdraw=True)
    await second.keys.renew()
    assert first.kids() == second.kids() == ["later", new]
    await second.rotate()
    restarted = Process(ledger, clock, earlier=earlier)
    await restarted.start()
    assert restarted.kids() == first.kids()[:2] + second.kids()[2:]
    assert "used" not in restarted.kids()
    assert "waited" not in restarted.kids()


async def test_a_rotation_withdraws_nothing_from_the_folder() -> None:
    process = Process(memory_ledger())
    process.earlier = (key_of_the_folder("used", process.now - 100, process.now),)
    process.__post_init__()
    await process.start()
    await process.rotate()
    body = orjson.loads(process.ledger.stored[PERMIT_KEYS].body)  # type: ignore[attr-defined] # the ledger in memory
    assert (process.kids()[0], list(body)) == ("used", ["keys"])


async def test_a_first_key_after_a_withdrawal_does_not_undo_it() -> None:
    process, _ = await two_processes()
    await process.rotate(withdraw=True)
    await write_row(process, {"keys": [], "withdrawn_at": process.now})
    earlier = key_of_the_folder("used", process.now - 100, process.now)
    restarted = Process(process.ledger, process.clock, earlier=(earlier,))
    await restarted.start()
    assert restarted.kids() == [restarted.kid()]


async def test_a_rotation_beside_a_key_that_does_not_decrypt_is_refused() -> None:
    """No process would use the new key: each reads all keys or none."""
    first, second = await two_processes()
    both = Process(first.ledger, first.clock, kek=f"{kek(2)} {kek(1)}")
    await both.start()
    other = await both.rotate(after_seconds=0)
    stored = first.ledger.stored[PERMIT_KEYS].body  # type: ignore[attr-defined] # the ledger in memory
    with pytest.raises(PermitKeysUnavailableError, match=f"{other}.* add that key after the new one, or .*withdraw"):
        await first.rotate()
    assert first.ledger.stored[PERMIT_KEYS].body == stored  # type: ignore[attr-defined] # likewise
    new = await first.rotate(withdraw=True)
    await second.keys.renew()
    assert first.kids() == second.kids() == [new]


async def test_creations_are_recorded_without_any_part_of_the_private_key() -> None:
    first, _ = await two_processes()
    old = first.kid()
    new = await first.rotate(withdraw=True)
    ledger: MemoryLedger = first.ledger  # type: ignore[assignment] # the ledger in memory
    created, rotated = [record.commitment for record in ledger.log]
    assert {each.kind for each in (created, rotated)} == {RecordKind.PERMIT_KEY_CREATED}
    assert (created.fields["key_id"], created.fields["removed"]) == (old, [])
    assert orjson.loads(created.parts["control"]) == {"actor": "", "reason": "there was no key"}
    assert (rotated.fields["key_id"], rotated.fields["removed"]) == (new, [old])
    assert orjson.loads(rotated.parts["control"]) == {"actor": "ann", "reason": "a test"}
    stored = orjson.loads(ledger.stored[PERMIT_KEYS].body)["keys"][0]["encrypted"]
    assert stored not in repr([(each.body, each.commitment.fields, each.commitment.parts) for each in ledger.log])


async def test_a_full_set_is_refused_and_recorded_and_can_be_withdrawn() -> None:
    first, _ = await two_processes()
    for _ in range(SHARED_KEYS_MAX - 1):
        await first.rotate(after_seconds=0)
    with pytest.raises(FailedPreconditionError) as refused:
        await first.rotate(after_seconds=0)
    assert refused.value.reason == KEYS_FULL
    assert first.ledger.log[-1].commitment.kind is RecordKind.CONTROL_REFUSED  # type: ignore[attr-defined]
    new = await first.rotate(withdraw=True)
    assert first.kids() == [new]


async def test_keys_that_could_not_be_read_for_an_hour_sign_and_verify_nothing() -> None:
    first, _ = await two_processes()
    first.advance(SHARED_KEYS_AGE_SECONDS_MAX)
    assert first.permit()
    first.advance(1)
    with pytest.raises(PermitKeysUnavailableError):
        first.permit()
    with pytest.raises(PermitKeysUnavailableError):
        first.keys.require_usable()
    await first.keys.renew()
    assert first.permit()


@pytest.mark.parametrize("which", ["wall", "seconds"])
async def test_either_clock_ends_the_hour(which: str) -> None:
    """One of them may stand still while a machine sleeps."""
    first, _ = await two_processes()
    step = SHARED_KEYS_AGE_SECONDS_MAX + 1
    setattr(first.clock, which, getattr(first.clock, which) + step * (1_000_000 if which == "wall" else 1))
    with pytest.raises(PermitKeysUnavailableError):
        first.permit()


async def test_keys_before_the_first_read_sign_nothing() -> None:
    with pytest.raises(PermitKeysUnavailableError):
        Process(memory_ledger()).permit()


class Failing:
    """A ledger whose reads or commits fail while `away`, or whose commits always conflict."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.away = ""
        self.conflicts = 0

    async def load(self, read_set: ReadSet) -> Snapshot:
        if self.away == "load":
            raise LedgerUnavailableError("away")
        return await self._ledger.load(read_set)

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        if self.away == "commit":
            raise LedgerUnavailableError("away")
        if self.conflicts:
            self.conflicts -= 1
            return [Conflict(commitments[0].changes[0])]
        return await self._ledger.commit(commitments)


@pytest.fixture
async def failing() -> tuple[Failing, Process]:
    ledger = Failing(memory_ledger())
    process = Process(ledger)  # type: ignore[arg-type] # the part that is used
    await process.start()
    return ledger, process


@pytest.mark.parametrize("away", ["load", "commit"])
async def test_a_rotation_while_the_database_is_away_changes_nothing(
    failing: tuple[Failing, Process], away: str
) -> None:
    ledger, process = failing
    old = process.kid()
    ledger.away = away
    with pytest.raises(LedgerUnavailableError):
        await process.rotate(after_seconds=0)
    assert process.kid() == old, "it signs on with what it knows"
    ledger.away = ""
    await process.keys.renew()
    assert process.kids() == [old]
    new = await process.rotate(after_seconds=0)
    assert process.kids() == [old, new]


async def test_a_rotation_that_is_committed_just_before_the_database_goes_is_known_later(
    failing: tuple[Failing, Process],
) -> None:
    ledger, process = failing
    commit = ledger.commit

    async def commit_then_go(commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        results = await commit(commitments)
        ledger.away = "load"
        return results

    ledger.commit = commit_then_go  # type: ignore[method-assign] # for this rotation
    new = await process.rotate(after_seconds=0)
    assert new not in process.kids()
    ledger.away = ""
    await process.keys.renew()
    assert process.kids()[-1] == new


async def test_conflicts_are_tried_again_and_end(failing: tuple[Failing, Process]) -> None:
    ledger, process = failing
    ledger.conflicts = 3
    assert await process.rotate() in process.kids()
    ledger.conflicts = 10_000
    with pytest.raises(AbortedError):
        await process.rotate()


async def test_the_first_key_of_another_key_encryption_key_stops_the_start() -> None:
    ledger = memory_ledger()
    await Process(ledger).start()
    stranger = Process(ledger, kek=kek(2))
    with pytest.raises(ConfigurationError, match=r"permit_key_encryption_key: .* is encrypted with .* add that key"):
        await stranger.start()
    with pytest.raises(PermitKeysUnavailableError):
        stranger.permit()


async def test_a_key_encryption_key_is_changed_with_two_keys() -> None:
    ledger = memory_ledger()
    old = Process(ledger, kek=kek(1))
    await old.start()
    both = Process(ledger, old.clock, kek=f"{kek(2)}\n{kek(1)}")
    await both.start()
    await both.rotate(after_seconds=0)
    both.advance(PERMIT_KEY_OVERLAP_SECONDS + 1)
    new = Process(ledger, both.clock, kek=kek(2))
    await new.start()
    await both.keys.renew()
    assert new.kid() == both.kid()


async def test_a_newer_key_that_does_not_decrypt_is_reported_once_and_not_used() -> None:
    ledger = memory_ledger()
    first, stranger = Process(ledger), Process(ledger, kek=f"{kek(2)} {kek(1)}")
    await first.start()
    await stranger.start()
    old = first.kid()
    await stranger.rotate(after_seconds=0)
    for _ in range(3):
        await first.keys.renew()
    assert (first.kids(), first.kid()) == ([old], old)
    [error] = first.errors
    assert "add that key after the new one" in str(error)
    assert stranger.verifies(first.permit()), "the old key verifies on"
    first.advance(SHARED_KEYS_AGE_SECONDS_MAX + 1)
    await first.keys.renew()
    with pytest.raises(PermitKeysUnavailableError):
        first.permit()


async def write_row(process: Process, body: dict[str, object] | bytes) -> None:
    """Write the row as somebody does who can write to the database."""
    row = (await process.ledger.load(ReadSet([PERMIT_KEYS]))).rows[PERMIT_KEYS]
    process.ledger.stored[PERMIT_KEYS] = structs.replace(  # type: ignore[attr-defined] # the ledger in memory
        row, body=body if isinstance(body, bytes) else orjson.dumps(body), version=row.version + 1
    )


async def test_a_key_that_somebody_writes_into_the_database_is_never_published() -> None:
    """Without the key-encryption key: as a new key, under the id of another one, or with another time."""
    first, second = await two_processes()
    stored = orjson.loads(first.ledger.stored[PERMIT_KEYS].body)["keys"][0]  # type: ignore[attr-defined]
    forged = PermitKeyVault(parse_key_encryption(kek(9), "")).create(first.now)
    for changed in (
        {"kid": forged.key_id, "kek": stored["kek"], "signs_from": first.now, "encrypted": stored["encrypted"]},
        {**stored, "signs_from": stored["signs_from"] + 1},
        {**stored, "encrypted": ""},
        {**stored, "encrypted": stored["encrypted"][:-8] + "AAAAAAA="},
    ):
        await write_row(first, {"keys": [changed]})
        await second.keys.renew()
        assert second.kids() == [stored["kid"]]
    assert len(second.errors) == 2, "one for each key id"
    assert all("was changed after it was encrypted" in str(error) for error in second.errors)


async def test_a_row_without_keys_is_no_reason_to_stop() -> None:
    first, second = await two_processes()
    await write_row(first, {"keys": []})
    await second.keys.renew()
    assert len(second.kids()) == 1
    assert "no permit keys" in str(second.errors.pop())
    restarted = Process(first.ledger, first.clock)
    await restarted.start()
    assert restarted.kids() != second.kids()


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"{}",
        b'{"keys":[{"kid":5,"signs_from":1,"kek":"k","encrypted":""}]}',
        b'{"keys":[{"kid":"k","signs_from":"now","kek":"k","encrypted":""}]}',
        b'{"keys":[{"kid":"k","signs_from":99999999999999,"kek":"k","encrypted":""}]}',
        b'{"keys":[{"kid":"k","signs_from":1,"kek":"k","encrypted":"A"}]}',
        b'{"keys":[],"withdrawn_at":-1}',
    ],
)
async def test_a_damaged_row_is_reported_once_and_replaced_by_a_withdrawal(body: bytes) -> None:
    process, other = await two_processes()
    await write_row(process, body)
    kids = process.kids()
    await process.keys.renew()
    await process.keys.renew()
    assert len(process.errors) == 1
    assert "changed by another program; run `placet audit verify --state`" in str(process.errors[0])
    assert process.kids() == kids, "the keys from before stay in use"
    with pytest.raises(ConfigurationError, match="rotate --withdraw"):
        await Process(process.ledger).start()
    with pytest.raises(PermitKeysUnavailableError, match="rotate --withdraw"):
        await process.rotate()
    new = await process.rotate(withdraw=True)
    await other.keys.renew()
    assert process.kids() == other.kids() == [new]


def test_states_of_a_key() -> None:
    key = PermitKey("k", b"", 100, 200)
    end = 200 + PERMIT_KEY_OVERLAP_SECONDS
    states = [key.state_at(second) for second in (99, 100, 199, 200, end - 1, end)]
    assert states == [
        KeyState.WAITS,
        KeyState.SIGNS,
        KeyState.SIGNS,
        KeyState.VERIFIES,
        KeyState.VERIFIES,
        KeyState.EXPIRED,
    ]
    assert PermitKey("k", b"", 100).state_at(10**10) is KeyState.SIGNS


def test_a_change_of_the_row_names_its_version() -> None:
    before = structs.replace(key_set_row(KeySet(), None, 5), version=3)
    assert PutIfVersion(key_set_row(KeySet(), before, 9)).row.version == 3
    assert key_set_row(KeySet(), before, 9).created_at_us == 5
