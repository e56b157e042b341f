"""Where a ledger is kept: one SQLite file, or a PostgreSQL database that replicas share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from placet.kernel.errors import ConfigurationError
from placet.signing.keys import PRIVATE_NAME
from placet.storage.connections.engines import sqlite_url
from placet.storage.signed_by import found_in_file, latest_signing_key_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from placet.audit.records import VerifyReport
    from placet.audit.trail_break import FoundTrail, Place
    from placet.audit.verify_trail import PinnedCheckpoint
    from placet.kernel.clock import Clock
    from placet.signing.keys import PublicKeys, SigningKey, Verifier
    from placet.storage.ledger import ThreadedLedger
    from placet.storage.sql.audit_log_reader import LoggedRecord, LogQuery


class Database(Protocol):
    """What can be done with either. Each method raises ConfigurationError when it cannot be done."""

    @property
    def name(self) -> str:
        """As people know it, without a password."""
        ...

    @property
    def url(self) -> str:
        """For `placet.storage.migrate`."""
        ...

    def require_existing(self) -> None:
        """ConfigurationError when there is none yet."""
        ...

    def require_fit(self) -> None:
        """ConfigurationError when the server of the database would not do."""
        ...

    def open(
        self,
        writer: str,
        signing_key: SigningKey,
        keys: PublicKeys,
        clock: Clock,
        on_error: Callable[[BaseException], None],
    ) -> ThreadedLedger:
        """The ledger; `writer` names its chain, `keys` are those of other replicas."""
        ...

    def verify(self, keys: Verifier, kept: Sequence[PinnedCheckpoint] = (), *, state: bool = False) -> VerifyReport:
        """Check the trail, served at this moment or not; and state against it."""
        ...

    def export_checkpoints(self) -> bytes:
        """The newest checkpoint of every chain as JSON."""
        ...

    def log(self, query: LogQuery) -> list[LoggedRecord]:
        """Records of any kind, newest first."""
        ...

    def key_ids(self, writer: str) -> Mapping[str, str]:
        """Writers that go on with the signing key of this one -> the id of the key that signed last."""
        ...

    def find_trail(self, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
        """Where each chain ends, and what stands at the places: checkpoints, records. Nothing is made or written."""
        ...


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """One file. Whoever wrote to it had the key beside it."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def url(self) -> str:
        """The path as a URL."""
        return sqlite_url(self.path)

    def require_existing(self) -> None:
        """ConfigurationError when there is no such file."""
        if not self.path.is_file():
            raise ConfigurationError(
                f"{self.path}: there is no database in {self.path.absolute().parent}. Run this on the server's machine "
                "and name the server's data directory with --data-dir. If the database was there before, restore it; "
                "the first `placet serve` makes it"
            )

    def require_fit(self) -> None:
        """There is no server."""

    def open(
        self,
        writer: str,
        signing_key: SigningKey,
        keys: PublicKeys,
        clock: Clock,
        on_error: Callable[[BaseException], None],
    ) -> ThreadedLedger:
        """The ledger in the file."""
        from placet.storage.sqlite.backend import SqliteLedger  # noqa: PLC0415 - not for a look at the schema

        return SqliteLedger.open(
            self.path, writer=writer, signing_key=signing_key, keys=keys, clock=clock, on_error=on_error
        )

    def verify(self, keys: Verifier, kept: Sequence[PinnedCheckpoint] = (), *, state: bool = False) -> VerifyReport:
        """Check the file."""
        from placet.storage.sqlite.offline import verify_database  # noqa: PLC0415 - likewise

        return verify_database(self.path, keys, kept, state=state)

    def export_checkpoints(self) -> bytes:
        """Those in the file."""
        from placet.storage.sqlite.offline import export_checkpoints  # noqa: PLC0415 - likewise

        return export_checkpoints(self.path)

    def log(self, query: LogQuery) -> list[LoggedRecord]:
        """Those in the file."""
        from placet.storage.sqlite.offline import log_of  # noqa: PLC0415 - likewise

        return log_of(self.path, query)

    def key_ids(self, writer: str) -> Mapping[str, str]:
        """Of all writers: they were one server after another."""
        del writer
        return latest_signing_key_ids(self.path)

    def find_trail(self, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
        """What the file holds; nothing when there is none."""
        return found_in_file(self.path, signed, noted)


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A database at a ``postgresql://`` URL. Each replica has a key of its own, or several share one."""

    url: str

    @property
    def name(self) -> str:
        """The URL without the password."""
        from placet.storage.connections.postgres import masked  # noqa: PLC0415 - the driver, where it is needed

        return masked(self.url)

    def require_existing(self) -> None:
        """It is there, or the next step says that it is not."""

    def require_fit(self) -> None:
        """ConfigurationError when it is too old, or would lose what was committed."""
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
        """The ledger of this replica."""
        from placet.storage.postgres.backend import PostgresLedger  # noqa: PLC0415 - likewise

        return PostgresLedger.open(
            self.url, writer=writer, signing_key=signing_key, keys=keys, clock=clock, on_error=on_error
        )

    def verify(self, keys: Verifier, kept: Sequence[PinnedCheckpoint] = (), *, state: bool = False) -> VerifyReport:
        """Check it in one snapshot."""
        from placet.storage.postgres.offline import verify_url  # noqa: PLC0415 - likewise

        return verify_url(self.url, keys, kept, state=state)

    def export_checkpoints(self) -> bytes:
        """Those of all replicas."""
        from placet.storage.postgres.offline import export_url_checkpoints  # noqa: PLC0415 - likewise

        return export_url_checkpoints(self.url)

    def log(self, query: LogQuery) -> list[LoggedRecord]:
        """Those of all replicas."""
        from placet.storage.postgres.offline import log_of_url  # noqa: PLC0415 - likewise

        return log_of_url(self.url, query)

    def key_ids(self, writer: str) -> Mapping[str, str]:
        """Of this writer: others have their own."""
        from placet.storage.postgres.offline import url_key_ids  # noqa: PLC0415 - likewise

        return {name: key_id for name, key_id in url_key_ids(self.url).items() if name == writer}

    def find_trail(self, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
        """Of all replicas."""
        from placet.storage.postgres.offline import found_at_url  # noqa: PLC0415 - likewise

        return found_at_url(self.url, signed, noted)


def choose_database(database_url: str, path: Path) -> Database:
    """The one at the URL; without a URL the file."""
    return PostgresDatabase(database_url) if database_url else SqliteDatabase(path)


def require_its_key(database: Database, writer: str, keys_dir: Path) -> None:
    """Raise ConfigurationError when the database is signed, but the signing key is gone: no new key continues it."""
    private = keys_dir / PRIVATE_NAME
    if private.exists():
        return
    if key_ids := database.key_ids(writer):
        signed = ", ".join(sorted(set(key_ids.values())))
        raise ConfigurationError(
            f"{private}: is gone, and the checkpoints of {database.name} are signed with the key {signed}; "
            "restore that key; or, without it, move the database and the keys aside to begin a new trail"
        )
