"""Open the ledger of a server: only the trail that its keys go on with; and make a break in it explicit."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet import __version__
from placet.audit.control_record import clock_accepted, trail_restarted
from placet.audit.decision_codec import server_started_commitment
from placet.audit.trail_break import NEW_TRAIL
from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.kernel.limits import CONTROL_REASON_BYTES_MAX
from placet.matching.names import name_fault
from placet.server.ledger_clock import LedgerClock
from placet.server.tasks import look_at_clocks
from placet.signing.keys import load_or_create_signing_key, load_public_keys
from placet.signing.newest_record import NewestRecord, NewestRecords
from placet.signing.pinned_checkpoints import PinnedCheckpoints
from placet.storage.breaks import look_for_breaks, require_a_trail, require_its_trail
from placet.storage.database import require_its_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.audit.records import Commitment, VerifyReport
    from placet.audit.trail_break import TrailBreak
    from placet.kernel.clock import Clock
    from placet.server.settings import Settings
    from placet.storage.ledger import ThreadedLedger


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger whose newest records were checked, the id of the key that signs it, and where its end is noted."""

    ledger: ThreadedLedger
    key_id: str
    checked: VerifyReport
    note: NewestRecord


async def start_recording(
    stack: contextlib.AsyncExitStack, settings: Settings, clock: LedgerClock, on_error: Callable[[BaseException], None]
) -> Opened:
    """The ledger, open and checked, with the record of this start, signed.

    ConfigurationError when it cannot be written, when its key is gone, or when it is not the trail that its keys go on
    with.
    """
    require_its_key(settings.database, settings.replica_id, settings.keys_dir)
    pinned = PinnedCheckpoints(settings.keys_dir)
    pinned.prepare()
    require_its_trail(settings.database, settings.replica_id, pinned)
    opened = await _open(stack, settings, clock, on_error)
    await look_at_clocks(opened.ledger, clock)
    opened.ledger.on_recorded(clock.recorded)
    await _commit(opened, settings, pinned, [server_started_commitment(__version__, opened.key_id, clock.wall_us())])
    return opened


async def restart_trail(
    settings: Settings, clock: Clock, actor: str, reason: str, on_error: Callable[[BaseException], None]
) -> Sequence[TrailBreak]:
    """Record that what was signed before is gone, and why; then a server starts. What was found.

    ConfigurationError when nothing is wrong, when there is no trail at all, when a server runs, or when the database
    cannot be
    gone on with.
    """
    _require_who_and_why(actor, reason, "the trail goes on without records")
    require_its_key(settings.database, settings.replica_id, settings.keys_dir)
    pinned = PinnedCheckpoints(settings.keys_dir)
    broken = look_for_breaks(settings.database, settings.replica_id, pinned)
    if not broken:
        require_a_trail(settings.database)
        raise ConfigurationError(f"{settings.database.name}: nothing that was signed is missing; run `placet serve`")
    pinned.prepare()  # refuses when the key is gone
    lost = {each.writer for each in broken}
    aside = [each for each in pinned.read() if each[0].writer in lost]
    async with contextlib.AsyncExitStack() as stack:
        opened = await _open(stack, settings, clock, on_error)
        for each in aside:
            pinned.keep_lost(each)
        now_us = (await _shared_clock(opened.ledger, settings, clock)).wall_us()
        await _commit(opened, settings, pinned, [trail_restarted(each, actor, reason, now_us) for each in broken])
        for each in aside:
            pinned.forget(each)
        for writer in lost - {settings.replica_id}:
            NewestRecords(settings.keys_dir).forget(writer)
    return broken


async def accept_clock(
    settings: Settings, clock: Clock, actor: str, reason: str, on_error: Callable[[BaseException], None]
) -> int:
    """Record, with the machine's time, that its clock is right.

    Gives how far it is behind the newest record, in microseconds. From then on the newest record of this replica has
    the true time. ConfigurationError when the clock is not behind it, when there is no trail, when a server runs, or
    when the
    database cannot be gone on with.
    """
    _require_who_and_why(actor, reason, "the clock is right")
    require_its_key(settings.database, settings.replica_id, settings.keys_dir)
    pinned = PinnedCheckpoints(settings.keys_dir)
    require_its_trail(settings.database, settings.replica_id, pinned)
    require_a_trail(settings.database)
    async with contextlib.AsyncExitStack() as stack:
        opened = await _open(stack, settings, clock, on_error)
        now_us = (await _shared_clock(opened.ledger, settings, clock)).wall_us()
        newest_us = (await opened.ledger.newest_times()).get(settings.replica_id, 0)
        if newest_us <= now_us:
            raise ConfigurationError(
                f"{settings.database.name}: the clock is not behind the newest record of {settings.replica_id}; run "
                "`placet serve`, and when it denies pdp.clock_skew run this for the replica whose clock ran ahead"
            )
        await _commit(opened, settings, pinned, [clock_accepted(newest_us, actor, reason, now_us)])
    return newest_us - now_us


async def _shared_clock(ledger: ThreadedLedger, settings: Settings, machine: Clock) -> LedgerClock:
    """The clock that a record of a person's word is made by: without a floor.

    ConfigurationError when two clocks disagree.
    """
    clock = LedgerClock(machine, settings.clock_skew_max_seconds)
    if (told := await ledger.server_time()) is not None:
        clock.measure(told)
    if clock.skewed():
        raise ConfigurationError(
            f"this machine's clock is {clock.ahead_of_server_seconds():+,.0f} s off that of the database's server, "
            f"more than the {settings.clock_skew_max_seconds} of clock_skew_max_seconds; set the wrong one right first"
        )
    return clock


def _require_who_and_why(actor: str, reason: str, what: str) -> None:
    """ConfigurationError when the record of what a person did could not say who did it and why."""
    if not reason.strip() or len(reason.encode()) > CONTROL_REASON_BYTES_MAX:
        raise ConfigurationError(f"--reason: say why {what}, in 1 to {CONTROL_REASON_BYTES_MAX} bytes")
    if fault := name_fault(actor):
        raise ConfigurationError(f"--as: {fault}")


async def _open(
    stack: contextlib.AsyncExitStack, settings: Settings, clock: Clock, on_error: Callable[[BaseException], None]
) -> Opened:
    """The ledger, whose newest records were checked. ConfigurationError when they are not as they were written."""
    database = settings.database
    signing_key = load_or_create_signing_key(settings.keys_dir)
    keys = load_public_keys(settings.keys_dir).with_key(signing_key.public)
    note = NewestRecord(settings.keys_dir, settings.replica_id)
    stack.callback(note.close)
    ledger = database.open(settings.replica_id, signing_key, keys, clock, on_error)
    stack.push_async_callback(ledger.close)
    try:
        checked = await ledger.check_newest(keys)
    except LedgerUnavailableError as error:
        raise ConfigurationError(
            f"{database.name}: cannot be read and written ({error.__cause__}); see that it is writable and has room, "
            "and run `placet audit verify`"
        ) from error
    if checked.problems:
        first = checked.problems[0]
        where = f"record {first.sequence}" if first.sequence else "the chain"
        raise ConfigurationError(
            f"{database.name}: {where} of {first.writer} is not as it was written: {first.detail}; run `placet audit "
            "verify`, keep the database as evidence, and restore a backup; to go on without one, move the database "
            f"aside and run {NEW_TRAIL}"
        )
    return Opened(ledger, signing_key.key_id, checked, note)


async def _commit(
    opened: Opened, settings: Settings, pinned: PinnedCheckpoints, commitments: Sequence[Commitment]
) -> None:
    """Commit, sign and pin what a start begins with."""
    opened.ledger.pin(opened.note.note, pinned.write)
    try:
        await opened.ledger.commit(commitments)
        await opened.ledger.checkpoint()
        pinned.end_preparing()
    except LedgerUnavailableError as error:
        where = settings.database.name
        raise ConfigurationError(
            f"{where}: cannot be written ({error.__cause__}); see that it is writable and has room"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename}: cannot be removed ({error.strerror}); let Placet's user own {settings.keys_dir}"
        ) from error
