"""Where a ledger is stored: in one SQLite file, or in a PostgreSQL database that replicas share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from placet.kernel.errors import ConfigurationError
from placet.signing.keys import PRIVATE_NAME
from placet.storage.connections.engines import sqlite_url
from placet.storage.connections.write_turns import ALONE, Sharing
from placet.storage.sqlite.signers import find_trail_in_file, latest_signing_key_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from placet.audit.records import VerifyReport
    from placet.audit.trail_break import FoundTrail, Place
    from placet.audit.verification.verify_trail import PinnedCheckpoint
    from placet.kernel.clock import Clock
    from placet.signing.keys import PublicKeys, SigningKey, Verifier
    from placet.storage.ledger import ThreadedLedger
    from placet.storage.sql.reader import Reader
    from placet.storage.sql.readers.audit_log_reader import LoggedRecord, LogQuery

Result = TypeVar("Result")


class Database(Protocol):
    """The operations on a database of either engine. Every method raises ConfigurationError when it fails."""

    @property
    def name(self) -> str:
        """The path or URL for messages, without a password."""
        ...

    @property
    def url(self) -> str:
        """The URL for `placet.storage.migrate`."""
        ...

    def require_existing(self) -> None:
        """Raise ConfigurationError when there is no database yet."""
        ...

    def require_fit(self) -> None:
        """Raise ConfigurationError when the database server is unsuitable, e.g. too old or not durable."""
        ...

    def open(
        self,
        writer: str,
        signing_key: SigningKey,
        keys: PublicKeys,
        clock: Clock,
        on_error: Callable[[BaseException], None],
    ) -> ThreadedLedger:
        """Open the ledger. `writer` names this server's chain; `keys` are the public keys of other replicas.

        `on_error` receives every later failure, in any thread.
        """
        ...

    def verify(self, keys: Verifier, pinned: Sequence[PinnedCheckpoint] = (), *, state: bool = False) -> VerifyReport:
        """Verify the trail, also while a server runs; with `state`, compare state with the records.

        `pinned` are exported checkpoints.
        """
        ...

    def export_checkpoints(self) -> bytes:
        """Return the newest checkpoint of every chain as JSON."""
        ...

    def log(self, query: LogQuery) -> list[LoggedRecord]:
        """Return records of any kind, newest first."""
        ...

    def read(self, work: Callable[[Reader], Result]) -> Result:
        """Run the work on a new connection that only reads, also while a server runs."""
        ...

    def key_ids(self, writer: str) -> Mapping[str, str]:
        """Return the id of the key that signed last, for each writer whose chain this writer's key must continue."""
        ...

    def find_trail(self, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
        """Return the heads of all chains, the checkpoints at `signed`, and the record hashes at `noted`.

        Creates and writes nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """One SQLite file. All its writers used the key beside it."""

    path: Path
    sharing: Sharing = ALONE  # how the processes of one server write to it

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def url(self) -> str:
        """The path as a URL."""
        return sqlite_url(self.path)

    def require_existing(self) -> None:
        """Raise ConfigurationError when there is no such file."""
        if not self.path.is_file():
            raise ConfigurationError(
                f"{self.path}: there is no database in {self.path.absolute().parent}. Run this on the server's machine "
                "and name the server's data directory with --data-dir. If the database was there before, restore it; "
                "the first `placet serve` makes it"
            )

    def require_fit(self) -> None:
        """Do nothing: there is no database server."""

    def open(
        self,
        writer: str,
        signing_key: SigningKey,
        keys: PublicKeys,
        clock: Clock,
        on_error: Callable[[BaseException], None],
    ) -> ThreadedLedger:
        """Open the ledger in the file."""
        from placet.storage.sqlite.backend import SqliteLedger  # noqa: PLC0415 - not for a look at the schema

        return SqliteLedger.open(
            self.path,
            writer=writer,
            signing_key=signing_key,
            keys=keys,
            clock=clock,
            on_error=on_error,
            sharing=self.sharing,
        )

    def verify(self, keys: Verifier, pinned: Sequence[PinnedCheckpoint] = (), *, state: bool = False) -> VerifyReport:
        """Verify the file."""
        from placet.storage.sqlite.offline import verify_database  # noqa: PLC0415 - likewise

        return verify_database(self.path, keys, pinned, state=state)

    def export_checkpoints(self) -> bytes:
        """Return the newest checkpoints in the file."""
        from placet.storage.sqlite.offline import export_checkpoints  # noqa: PLC0415 - likewise

        return export_checkpoints(self.path)

    def read(self, work: Callable[[Reader], Result]) -> Result:
        """Run the work on the file."""
        from placet.storage.sqlite.offline import read_file  # noqa: PLC0415 - not for a look at the schema

        return read_file(self.path, work)

    def log(self, query: LogQuery) -> list[LoggedRecord]:
        """Return the records in the file."""
        from placet.storage.sqlite.offline import log_of  # noqa: PLC0415 - likewise

        return log_of(self.path, query)

    def key_ids(self, writer: str) -> Mapping[str, str]:
        """Return those of all writers: one server wrote after another."""
        del writer
        return latest_signing_key_ids(self.path)

    def find_trail(self, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
        """Return what the file holds; nothing when there is no file."""
        return find_trail_in_file(self.path, signed, noted)


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A database at a ``postgresql://`` URL. Each replica has its own key, or several replicas share one."""

    url: str

    @property
    def name(self) -> str:
        """The URL without the password."""
        from placet.storage.connections.postgres import masked  # noqa: PLC0415 - the driver, where it is needed

        return masked(self.url)

    def require_existing(self) -> None:
        """Do nothing: connecting fails when there is no database."""

    def require_fit(self) -> None:
        """Raise ConfigurationError when PostgreSQL is too old, or could lose what was committed."""
        from placet.storage.postgres.offline import require_fit  # noqa: PLC0415 - the driver, where it is needed

        require_fit(self.url)

    def open(
        self,
        writer: str,
        signing_key: SigningKey,
        keys: PublicKeys,
        clock: Clock,
        on_error: Callable[[BaseException], None],
    ) -> ThreadedLedger:
        """Open the ledger of this replica."""
        from placet.storage.postgres.backend import PostgresLedger  # noqa: PLC0415 - likewise

        return PostgresLedger.open(
            self.url, writer=writer, signing_key=signing_key, keys=keys, clock=clock, on_error=on_error
        )

    def verify(self, keys: Verifier, pinned: Sequence[PinnedCheckpoint] = (), *, state: bool = False) -> VerifyReport:
        """Verify the database in one snapshot."""
        from placet.storage.postgres.offline import verify_url  # noqa: PLC0415 - likewise

        return verify_url(self.url, keys, pinned, state=state)

    def export_checkpoints(self) -> bytes:
        """Return the newest checkpoints of all replicas."""
        from placet.storage.postgres.offline import export_url_checkpoints  # noqa: PLC0415 - likewise

        return export_url_checkpoints(self.url)

    def read(self, work: Callable[[Reader], Result]) -> Result:
        """Run the work in a new session."""
        from placet.storage.postgres.offline import read_url  # noqa: PLC0415 - the driver, where it is needed

        return read_url(self.url, work)

    def log(self, query: LogQuery) -> list[LoggedRecord]:
        """Return the records of all replicas."""
        from placet.storage.postgres.offline import log_of_url  # noqa: PLC0415 - likewise

        return log_of_url(self.url, query)

    def key_ids(self, writer: str) -> Mapping[str, str]:
        """Return that of this writer only: other writers have their own keys."""
        from placet.storage.postgres.offline import url_key_ids  # noqa: PLC0415 - likewise

        return {name: key_id for name, key_id in url_key_ids(self.url).items() if name == writer}

    def find_trail(self, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
        """Return what the database holds of all replicas' chains."""
        from placet.storage.postgres.offline import find_trail_at_url  # noqa: PLC0415 - likewise

        return find_trail_at_url(self.url, signed, noted)


def choose_database(database_url: str, path: Path, sharing: Sharing = ALONE) -> Database:
    """Return the database at the URL, or the file when the URL is empty."""
    return PostgresDatabase(database_url) if database_url else SqliteDatabase(path, sharing)


def require_its_key(database: Database, writer: str, keys_dir: Path) -> None:
    """Raise ConfigurationError when the database is signed and the signing key is gone.

    No new key can continue the chain.
    """
    private = keys_dir / PRIVATE_NAME
    if private.exists():
        return
    if key_ids := database.key_ids(writer):
        signed = ", ".join(sorted(set(key_ids.values())))
        raise ConfigurationError(
            f"{private}: is gone, and the checkpoints of {database.name} are signed with the key {signed}; "
            "restore that key; or, without it, move the database and the keys aside to begin a new trail"
        )
