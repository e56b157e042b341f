"""Each file of the data directory lost, old, cut off or unreadable between two runs: refused by name, or no harm.

The runs were killed: what was decided last stands in the write-ahead log alone. No harm is that the server starts,
decides as before, and that all that it told before is in the trail.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
import psycopg
import pytest

from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.server.ledger import restart_trail
from placet.server.system import SystemClock
from placet.signing.keys import PRIVATE_NAME, PUBLIC_NAME
from tests.faults.folder import FAULTS, HARMLESS, decide, make_unreadable, remove, require_whole
from tests.serving import serving, settings
from tests.support.checked_policies import remember_checked_policies
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.server.settings.model import Settings

DECISIONS: Final = 5
NEW_TRAIL: Final = "`placet db new-trail --reason TEXT`"


@dataclass(frozen=True)
class Images:
    """Copies of a data directory as two servers left it that were killed, the second one after the first."""

    older: Path
    newest: Path
    decided: tuple[str, ...]


@pytest.fixture(autouse=True)
def policies_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_checked_policies(monkeypatch)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("images")
    decided = []
    for name in ("older", "newest"):
        with serving(settings(folder / "data")) as server:
            decided += decide(server.address, DECISIONS)
            shutil.copytree(folder / "data", folder / name)
    assert (folder / "newest" / "placet.db-wal").stat().st_size
    return Images(folder / "older", folder / "newest", tuple(decided))


LOST: Final = ("tells of record", NEW_TRAIL)
KEY: Final = "keys/audit_ed25519.pem: "
EXPECTED: Final[dict[str, tuple[str | tuple[str, ...], ...]]] = {
    # file: removed, older, cut, empty, unreadable
    "placet.db": (("placet.db: ", *LOST), ("placet.db: ",), ("placet.db",), ("placet.db: ",), ("placet.db: ", *LOST)),
    "placet.db-wal": (LOST, LOST, LOST, LOST, ("placet.db: ",)),
    "placet.db-shm": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, ("placet.db: ",)),
    "placet.db.lock": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, ("placet.db.lock: cannot be written",)),
    "keys/audit_ed25519.pem": ((KEY, "is gone"), HARMLESS, (KEY, "is no private key"), (KEY,), (KEY,)),
    "keys/audit_ed25519.pub.pem": (HARMLESS, HARMLESS, ("is no public key",), ("is no public key",), (PUBLIC_NAME,)),
    "keys/newest-checkpoint.placet.json": (
        HARMLESS,
        HARMLESS,
        ("newest-checkpoint.placet.json: cannot be read", "restore it"),
        ("newest-checkpoint.placet.json: cannot be read", "restore it"),
        ("newest-checkpoint.placet.json: cannot be read", "restore it"),
    ),
    "keys/newest-record.placet.json": (
        HARMLESS,
        HARMLESS,
        HARMLESS,
        HARMLESS,
        ("newest-record.placet.json: cannot be read", "remove it"),
    ),
    "keys/permits/*.pem": (HARMLESS, HARMLESS, ("is no private key",), ("is no private key",), ("cannot be read",)),
    "bundles/*.tar.gz": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, ("bundles: cannot be written",)),
    "bundles/*.source.tgz": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, HARMLESS),
    "serve.json": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, ("serve.json: cannot be written", "remove what is there")),
    "opa.log": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, ("opa.log",)),
}
CASES: Final = [
    pytest.param(name, fault, said, id=f"{name}-{fault.__name__}")
    for name, row in EXPECTED.items()
    for fault, said in zip(FAULTS, row, strict=True)
]


@pytest.mark.parametrize(("name", "fault", "said"), CASES)
def test_a_fault_between_two_runs(
    images: Images, tmp_path: Path, name: str, fault: Callable[[Path, Path], None], said: str | tuple[str, ...]
) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(images.newest, data_dir)
    (path,) = data_dir.glob(name)
    fault(path, images.older / path.relative_to(data_dir))
    given = settings(data_dir)
    if said == HARMLESS:
        with serving(given) as server:
            decided = [*images.decided, *decide(server.address)]
        require_whole(given, decided)
        return
    with pytest.raises((ConfigurationError, OSError)) as refused, serving(given):
        pass
    for part in said:
        assert part in str(refused.value)


@pytest.mark.parametrize(("fault", "what"), [(remove, "was removed"), (make_unreadable, "was replaced")])
@pytest.mark.parametrize("name", ["placet.db", "placet.db-wal", "placet.db-shm"])
def test_a_file_of_the_database_lost_under_a_running_server(
    tmp_path: Path, name: str, fault: Callable[[Path, Path], None], what: str
) -> None:
    """Nothing more is acknowledged, and the stop says which file it was."""
    given = settings(tmp_path / "data")

    def lose_and_ask() -> None:
        with serving(given) as server, contextlib.closing(Wire(server.address)) as wire:
            decide(server.address)
            fault(given.data_dir / name, given.data_dir)
            with pytest.raises(Refusal) as refused:
                wire.authorize(request())
            assert refused.value.code is grpc.StatusCode.UNAVAILABLE

    with pytest.raises(LedgerUnavailableError, match="the end of the trail could not be signed") as stopped:
        lose_and_ask()
    unavailable = stopped.value.__cause__
    assert unavailable is not None
    assert str(unavailable.__cause__).startswith(f"{given.data_dir / name}: {what} while the server runs")


@pytest.mark.parametrize("name", [name for name in EXPECTED if not name.startswith("placet.db")])
def test_another_file_removed_under_a_running_server(tmp_path: Path, name: str) -> None:
    given = settings(tmp_path / "data")
    with serving(given) as server:
        decided = decide(server.address)
        for path in given.data_dir.glob(name):
            path.unlink()
        decided += decide(server.address)
    if name.endswith("audit_ed25519.pem"):
        with pytest.raises(ConfigurationError, match="is gone"), serving(given):
            pass
        return
    with serving(given) as server:
        decided += decide(server.address)
    require_whole(given, decided)


def test_every_file_has_its_row(images: Images) -> None:
    patterns = [*EXPECTED, "rego/**/*"]
    files = {path for path in images.newest.rglob("*") if path.is_file()}
    known = {path for pattern in patterns for path in images.newest.glob(pattern)}
    assert files <= known


@pytest.mark.parametrize("folder", ["keys", "keys/permits", "bundles"])
def test_a_folder_lost_between_two_runs(images: Images, tmp_path: Path, folder: str) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(images.newest, data_dir)
    shutil.rmtree(data_dir / folder)
    given = settings(data_dir)
    if folder == "keys":
        with (
            pytest.raises(ConfigurationError, match=r"is gone, and the checkpoints of .* restore that key"),
            serving(given),
        ):
            pass
        return
    with serving(given) as server:
        decided = [*images.decided, *decide(server.address)]
    require_whole(given, decided)


def replica(tmp_path: Path, url: str, name: str) -> Settings:
    return settings(tmp_path / name, database_url=url, replica_id=name)


def decide_once(given: Settings) -> list[str]:
    with serving(given) as server:
        return decide(server.address)


TABLES: Final = "audit_records, audit_parts, audit_writers, audit_checkpoints, idempotency_keys, counters"
EMPTYING: Final = {
    "schema": "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
    "rows": f"TRUNCATE {TABLES}",
}


@pytest.mark.parametrize("statement", EMPTYING.values(), ids=EMPTYING)
def test_an_emptied_postgres_database(tmp_path: Path, postgres_url: str, statement: str) -> None:
    first, second = (replica(tmp_path, postgres_url, name) for name in ("a", "b"))
    decide_once(first)
    decide_once(second)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(statement.encode())
    for given in (first, second):
        with pytest.raises(ConfigurationError) as refused, serving(given):
            pass
        assert f"holds no record of {given.replica_id}" in str(refused.value)
        assert NEW_TRAIL in str(refused.value)
        found = asyncio.run(restart_trail(given, SystemClock(), "ann", "the cluster was lost", lambda _: None))
        assert [each.kind.value for each in found] == ["lost"]
        decide_once(given)


def test_an_older_copy_of_a_postgres_database(tmp_path: Path, postgres_url: str) -> None:
    given = replica(tmp_path, postgres_url, "a")
    decide_once(given)
    saved = {}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for table in TABLES.split(", "):
            with connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as copied:
                saved[table] = b"".join(copied)
    decide_once(given)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {TABLES}".encode())
        for table, content in saved.items():
            with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copying:
                copying.write(content)
    with pytest.raises(ConfigurationError, match="an older copy was restored"), serving(given):
        pass


def test_keys_of_a_replica_that_are_lost(tmp_path: Path, postgres_url: str) -> None:
    given = replica(tmp_path, postgres_url, "a")
    decide_once(given)
    shutil.rmtree(given.keys_dir)
    with (
        pytest.raises(ConfigurationError, match=r"is gone, and the checkpoints of .* restore that key"),
        serving(given),
    ):
        pass


def test_a_new_replica_with_a_shared_key_joins(tmp_path: Path, postgres_url: str) -> None:
    first, second = (replica(tmp_path, postgres_url, name) for name in ("a", "b"))
    decide_once(first)
    second.keys_dir.mkdir(mode=0o700)
    shutil.copy2(first.keys_dir / PRIVATE_NAME, second.keys_dir)
    assert decide_once(second)
