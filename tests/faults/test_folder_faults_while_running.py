"""Each file of the data directory lost, old, cut off or unreadable under a running server: told by name, or no harm.

No harm is that it goes on deciding, signs checkpoints, takes a new policy, and stops; and that all that it told is in
the trail. The files of an SQLite database have tables of their own, since a server that lost one of them goes no
further: here (`test_folder_faults`) and with the ledger (`LOSSES` in `tests/storage/test_sqlite_faults`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.folder import FAULTS, HARMLESS, decide, make_unreadable, require_whole
from tests.serving import serving, settings
from tests.support.checked_policies import remember_checked_policies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from placet.server.settings.model import Settings
    from tests.postgres import Postgres
    from tests.serving import Server

    DocumentDiagnostic = Callable[[Path, Path], None]
    Said = str | tuple[str, ...]
    ToldOf = Callable[["Run", str, DocumentDiagnostic], str]

NOT_AS_BUILT: Final = "does not match its name, so it was not used"
EXPECTED: Final[dict[str, tuple[str | tuple[str, ...], ...]]] = {
    # file: removed, older, cut, empty, unreadable
    "placet.db.lock": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, HARMLESS),
    "keys/audit_ed25519.pem": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, HARMLESS),
    "keys/audit_ed25519.pub.pem": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, HARMLESS),
    "keys/newest-checkpoint.a.json": (
        HARMLESS,
        HARMLESS,
        HARMLESS,
        HARMLESS,
        ("newest-checkpoint.a.json: cannot be written", "remove it"),
    ),
    "keys/newest-record.a.json": (
        HARMLESS,
        HARMLESS,
        HARMLESS,
        HARMLESS,
        ("newest-record.a.json: cannot be written", "remove it"),
    ),
    "keys/permits/*.pem": (
        HARMLESS,
        HARMLESS,
        (".pem: is no private key", "restore it"),
        (".pem: is no private key", "restore it"),
        ("keys/permits: cannot be read", "let Placet's user own its files"),
    ),
    "bundles/*.tar.gz": (HARMLESS, HARMLESS, (NOT_AS_BUILT,), (NOT_AS_BUILT,), ("bundles: cannot be written",)),
    "bundles/*.source.tgz": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, (".source.tgz",)),
    "serve.json": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, HARMLESS),
    "opa.log": (HARMLESS, HARMLESS, HARMLESS, HARMLESS, ("opa.log", "is writable")),
}
CASES: Final = [
    pytest.param(name, fault, said, id=f"{name}-{fault.__name__}")
    for name, row in EXPECTED.items()
    for fault, said in zip(FAULTS, row, strict=True)
]
ON_POSTGRES: Final = [case for case in CASES if not str(case.values[0]).startswith(("placet.db", "bundles"))]
"""Without what a server there does not have, and what does not know of the store."""
RELOADED: Final = ("bundles", "opa.log")
"""What is touched again when the policy changes."""


@dataclass
class Run:
    """A server under which files are lost, with what it decided; `older` is what an earlier one left."""

    server: Server
    given: Settings
    older: Path
    decided: list[str]

    def use(self, *, reload: bool) -> None:
        """Have it touch its files again: those for decisions, permits and checkpoints, and those for policies."""
        self.decided += decide(self.server.address)
        self.server.run(self.server.running.ledger.checkpoint())
        file = self.given.rego_dir / "policy" / "refunds" / "refunds.rego"
        before = file.read_bytes()
        for content in (before + b"# looked at\n", before) if reload else ():
            file.write_bytes(content)
            self.server.run(self.server.running.policies.check_now())
        self.decided += decide(self.server.address)


@pytest.fixture(autouse=True)
def policies_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_checked_policies(monkeypatch)


@pytest.fixture(scope="module")
def sqlite_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    yield from run_of(tmp_path_factory.mktemp("sqlite"), "")


@pytest.fixture(scope="module")
def postgres_run(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Run]:
    yield from run_of(tmp_path_factory.mktemp("postgres"), postgres_server.url(postgres_server.new_database()))


def run_of(folder: Path, url: str) -> Iterator[Run]:
    """One server for all cases, and at the end that its trail is whole and another one starts."""
    given = settings(folder / "data", database_url=url, replica_id="a", log_level="warning")
    with serving(given) as server:
        first = Run(server, given, folder / "older", [])
        first.use(reload=True)
        shutil.copytree(given.data_dir, first.older, ignore=shutil.ignore_patterns(".*.new"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("placet.signing.permit_keys.PERMIT_KEYS_LOOK_SECONDS", 0)
        with serving(given) as server:
            running = Run(server, given, first.older, first.decided)
            yield running
    with serving(given) as server:
        running.decided += decide(server.address)
    require_whole(given, running.decided)


@pytest.mark.parametrize(("name", "fault", "said"), CASES)
def test_a_fault_while_running(
    sqlite_run: Run, told_of: ToldOf, name: str, fault: DocumentDiagnostic, said: Said
) -> None:
    check_told(told_of(sqlite_run, name, fault), said)


@pytest.mark.parametrize(("name", "fault", "said"), ON_POSTGRES)
def test_a_fault_while_running_on_postgres(
    postgres_run: Run, told_of: ToldOf, name: str, fault: DocumentDiagnostic, said: Said
) -> None:
    check_told(told_of(postgres_run, name, fault), said)


@pytest.fixture
def told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> ToldOf:
    return partial(told_while_running, tmp_path, capsys)


def told_while_running(
    kept: Path, capsys: pytest.CaptureFixture[str], run: Run, name: str, fault: DocumentDiagnostic
) -> str:
    """What the log says of the fault, while the server goes on; then the files are as before."""
    data_dir = run.given.data_dir
    paths = list(data_dir.glob(name))
    assert paths
    for path in paths:
        shutil.copy2(path, kept)
    capsys.readouterr()
    for path in paths:
        fault(path, run.older / path.relative_to(data_dir))
    try:
        run.use(reload=name.startswith(RELOADED))
    finally:
        told = capsys.readouterr().err
        for path in paths:
            put_back(path, kept / path.name)
    return told


def check_told(told: str, said: Said) -> None:
    if said == HARMLESS:
        assert told == ""
    for part in said:
        assert part in told


def put_back(path: Path, kept: Path) -> None:
    if path.is_dir():
        path.rmdir()
    shutil.copy2(kept, path)


def test_every_file_has_its_row(sqlite_run: Run) -> None:
    folder = sqlite_run.given.data_dir
    patterns = [*EXPECTED, "placet.db", "placet.db-wal", "placet.db-shm", "rego/**/*", "keys/.*.new"]
    known = {path for pattern in patterns for path in folder.glob(pattern)}
    assert {path for path in folder.rglob("*") if path.is_file()} <= known


def test_what_says_where_it_listens_is_no_file_at_the_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stop is in order, and tells what it could not remove."""
    given = settings(tmp_path / "data")
    path = given.data_dir / "serve.json"
    with serving(given) as server:
        decided = decide(server.address)
        make_unreadable(path, path)
    require_whole(given, decided)
    assert str(path) in capsys.readouterr().err
