"""Open the ledger of a server, and record a break of its trail.

A server opens only the trail that its signing keys continue.
"""

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
from placet.matching.names import name_error
from placet.server.ledger_clock import LedgerClock
from placet.server.tasks import update_clock
from placet.signing.keys import load_or_create_signing_key, load_public_keys
from placet.signing.newest_record import NewestRecord, NewestRecords
from placet.signing.pinned_checkpoints import PinnedCheckpoints
from placet.storage.breaks import look_for_breaks, require_a_trail, require_its_trail
from placet.storage.database import require_its_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from placet.audit.records import Commitment, VerifyReport
    from placet.audit.trail_break import TrailBreak
    from placet.kernel.clock import Clock
    from placet.server.settings.model import Settings
    from placet.storage.ledger import ThreadedLedger


@dataclass(frozen=True, slots=True)
class OpenedLedger:
    """An open ledger whose newest records were verified."""

    ledger: ThreadedLedger
    key_id: str  # of the key that signs it
    checked: VerifyReport
    note: NewestRecord  # remembers the end of the trail outside the database


async def open_recorded(
    stack: contextlib.AsyncExitStack, settings: Settings, clock: LedgerClock, on_error: Callable[[BaseException], None]
) -> OpenedLedger:
    """Open and verify the ledger, then commit and sign the record of this start.

    Raises ConfigurationError when the ledger cannot be written, when its signing key is gone, or when the keys in
    keys_dir belong to another trail.
    """
    require_its_key(settings.database, settings.replica_id, settings.keys_dir)
    pinned = PinnedCheckpoints(settings.keys_dir)
    pinned.prepare()
    require_its_trail(settings.database, settings.replica_id, pinned, only_its_chain=settings.is_worker)
    opened = await _open(stack, settings, clock, on_error)
    await update_clock(opened.ledger, clock)
    opened.ledger.on_recorded(clock.recorded)
    await _commit(opened, settings, pinned, [server_started_commitment(__version__, opened.key_id, clock.wall_us())])
    return opened


@contextlib.asynccontextmanager
async def open_without_server(
    settings: Settings, machine: Clock, on_error: Callable[[BaseException], None]
) -> AsyncIterator[tuple[ThreadedLedger, LedgerClock]]:
    """Open the ledger for changes by a person, and sign them at the end. Creates the database when there is none.

    Raises ConfigurationError when a server writes this chain, when a clock is wrong, or as `open_recorded` does.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_its_key(settings.database, settings.replica_id, settings.keys_dir)
    pinned = PinnedCheckpoints(settings.keys_dir)
    pinned.prepare()
    require_its_trail(settings.database, settings.replica_id, pinned)
    clock = LedgerClock(machine, settings.clock_skew_max_seconds)
    async with contextlib.AsyncExitStack() as stack:
        opened = await _open(stack, settings, clock, on_error)
        await update_clock(opened.ledger, clock)
        if clock.skewed():
            raise ConfigurationError("the clock is wrong; set it right, or run `placet db accept-clock`")
        await _commit(opened, settings, pinned, ())
        yield opened.ledger, clock
        await opened.ledger.checkpoint()


async def restart_trail(
    settings: Settings, clock: Clock, actor: str, reason: str, on_error: Callable[[BaseException], None]
) -> Sequence[TrailBreak]:
    """Record that signed records are lost, and why, so that a server can start again. Returns the breaks.

    Raises ConfigurationError when nothing is missing, when there is no trail, when a server runs, or when the database
    cannot be continued.
    """
    _require_actor_and_reason(actor, reason, "the trail goes on without records")
    require_its_key(settings.database, settings.replica_id, settings.keys_dir)
    pinned = PinnedCheckpoints(settings.keys_dir)
    breaks = look_for_breaks(settings.database, settings.replica_id, pinned)
    if not breaks:
        require_a_trail(settings.database)
        raise ConfigurationError(
            f"{settings.database.name}: nothing that was signed is missing; if no server runs, run `placet serve`"
        )
    pinned.prepare()  # raises when the key is gone
    lost = {trail_break.writer for trail_break in breaks}
    lost_pins = [pin for pin in pinned.read() if pin[0].writer in lost]
    async with contextlib.AsyncExitStack() as stack:
        opened = await _open(stack, settings, clock, on_error)
        for pin in lost_pins:
            pinned.save_lost(pin)
        now_us = (await _shared_clock(opened.ledger, settings, clock)).wall_us()
        await _commit(
            opened, settings, pinned, [trail_restarted(trail_break, actor, reason, now_us) for trail_break in breaks]
        )
        for pin in lost_pins:
            pinned.forget(pin)
        for writer in lost - {settings.replica_id}:
            NewestRecords(settings.keys_dir).forget(writer)
    return breaks


async def accept_clock(
    settings: Settings, clock: Clock, actor: str, reason: str, on_error: Callable[[BaseException], None]
) -> int:
    """Record that the machine's clock is right, although it is behind the newest record.

    Returns the distance in microseconds. The new record has the machine's time and becomes this replica's newest.
    Raises ConfigurationError when the clock is not behind, when there is no trail, when a server runs, or when the
    database cannot be continued.
    """
    _require_actor_and_reason(actor, reason, "the clock is right")
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
    """Return a clock without a floor, for records of what a person states.

    Raises ConfigurationError when the machine's and the database server's clocks disagree.
    """
    clock = LedgerClock(machine, settings.clock_skew_max_seconds)
    if (server_time := await ledger.server_time()) is not None:
        clock.measure(server_time)
    if clock.skewed():
        raise ConfigurationError(
            f"this machine's clock is {clock.ahead_of_server_seconds():+,.0f} s off that of the database's server, "
            f"more than the {settings.clock_skew_max_seconds} of clock_skew_max_seconds; set the wrong one right first"
        )
    return clock


def _require_actor_and_reason(actor: str, reason: str, what: str) -> None:
    """Raise ConfigurationError when the actor or the reason is missing or too long."""
    if not reason.strip() or len(reason.encode()) > CONTROL_REASON_BYTES_MAX:
        raise ConfigurationError(f"--reason: say why {what}, in 1 to {CONTROL_REASON_BYTES_MAX} bytes")
    if error := name_error(actor):
        raise ConfigurationError(f"--as: {error}")


async def _open(
    stack: contextlib.AsyncExitStack, settings: Settings, clock: Clock, on_error: Callable[[BaseException], None]
) -> OpenedLedger:
    """Open the ledger and verify its newest records. Raises ConfigurationError when they were changed."""
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
            f"{database.name}: cannot be read and written ({error.__cause__}); check that it is writable and has room, "
            "then run `placet audit verify`"
        ) from error
    if checked.problems:
        first = checked.problems[0]
        where = f"record {first.sequence}" if first.sequence else "the chain"
        raise ConfigurationError(
            f"{database.name}: {where} of {first.writer} was changed after it was written: {first.detail}; run `placet "
            "audit verify`, keep the database as evidence, and restore a backup; to go on without one, move the "
            f"database aside and run {NEW_TRAIL}"
        )
    return OpenedLedger(ledger, signing_key.key_id, checked, note)


async def _commit(
    opened: OpenedLedger, settings: Settings, pinned: PinnedCheckpoints, commitments: Sequence[Commitment]
) -> None:
    """Commit and sign the first records of a start, and pin the checkpoint."""
    opened.ledger.pin(opened.note.note, pinned.write)
    try:
        await opened.ledger.commit(commitments)
        await opened.ledger.checkpoint()
        pinned.end_preparing()
    except LedgerUnavailableError as error:
        where = settings.database.name
        raise ConfigurationError(
            f"{where}: cannot be written ({error.__cause__}); check that it is writable and has room"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename}: cannot be removed ({error.strerror}); let Placet's user own {settings.keys_dir}"
        ) from error
