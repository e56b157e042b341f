"""Replicas of `placet serve` on one database. Each is a process with its own OPA."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import grpc

from placet.signing.keys import PUBLIC_NAME, PublicKeys, load_public_key
from placet.storage.postgres.offline import verify_url
from placet.storage.sqlite.offline import verify_database
from tests.faults.serving import SERVING, Server, eventually, free_address
from tests.races.accounting import Accounts, postgres_accounts, sqlite_accounts
from tests.support.bundle_cache import seed_bundles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from placet.audit.records import VerifyReport

PATIENT_MS: Final = 20_000
"""A time-out of OPA that is not exceeded on a busy machine."""
AGAIN_SECONDS_MAX: Final = 60.0
CONNECTIONS: Final = 6
"""Connections of a caller to a server with workers: enough to reach two workers with a probability of 97 %."""


class Fleet:
    """Replicas that tests start, kill and start again.

    `urls` maps replicas to their database_url; "" is SQLite, which only one replica can use.
    """

    def __init__(self, folder: Path, rego_dir: Path, urls: Mapping[str, str], **flags: Any) -> None:
        self._folder = folder
        self._rego_dir = rego_dir
        self._urls = urls
        self._flags = {"opa_timeout_ms": PATIENT_MS, "log_level": "warning", **flags}
        self._listens = {name: free_address() for name in urls}
        self.servers: dict[str, Server] = {}

    @property
    def addresses(self) -> list[str]:
        """The address of each replica; with workers several times, because each connection is one worker's."""
        return list(self._listens.values()) * (CONNECTIONS if self.workers > 1 else 1)

    @property
    def workers(self) -> int:
        return int(self._flags.get("workers", 1))

    @property
    def chains(self) -> int:
        """How many chains the replicas write: with workers, one of each worker and one of the supervisor."""
        return len(self._urls) * (1 + self.workers if self.workers > 1 else 1)

    @property
    def names(self) -> list[str]:
        return list(self._urls)

    def start(self, *names: str) -> None:
        """Start replicas at their addresses and data directories, and wait until they are ready."""
        keep_bundles = [seed_bundles(self._rego_dir, self._folder / name / "data") for name in names]
        for name in names:
            self.servers[name] = Server(
                self._folder / name,
                self._rego_dir,
                listen=self._listens[name],
                replica_id=name,
                database_url=self._urls[name],
                **self._flags,
            )
        for name in names:
            self.servers[name].wait_until_ready()
        for keep in keep_bundles:
            keep()

    def kill(self, name: str) -> None:
        self.servers[name].kill()

    def healthy(self, seconds: float = AGAIN_SECONDS_MAX) -> None:
        """Check that each replica is healthy, was not restarted, and logged only JSON lines."""
        for server in self.servers.values():
            assert server.process.poll() is None, server.said
            eventually(partial(_serves, server), seconds, "healthy")
            assert all(line.startswith("{") for line in server.said.splitlines()), server.said

    def accounts(self, url: str = "") -> Accounts:
        """Return the budgets in the database. Pass `url` when replicas use a proxy."""
        url = url or next(iter(self._urls.values()))
        return postgres_accounts(url) if url else sqlite_accounts(self._folder / self.names[0] / "data" / "placet.db")

    def verify(self, url: str = "") -> VerifyReport:
        """Verify all chains as an auditor does."""
        keys = [load_public_key(self._folder / name / "data" / "keys" / PUBLIC_NAME) for name in self._urls]
        url = url or next(iter(self._urls.values()))
        if url:
            return verify_url(url, PublicKeys.of(*keys))
        return verify_database(self._folder / self.names[0] / "data" / "placet.db", keys[0])

    def __enter__(self) -> Self:
        try:
            self.start(*self.names)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers.values():
            with contextlib.suppress(ProcessLookupError):
                if server.process.poll() is None:
                    server.kill()


def _serves(server: Server) -> bool:
    try:
        return bool(server.health() == SERVING)
    except grpc.RpcError:
        return False


def check_whole(fleet: Fleet, url: str = "", chains: int | None = None) -> None:
    """Check that every chain verifies, and their number if given."""
    report = fleet.verify(url)
    assert report.ok, report.problems
    assert chains is None or report.chains == chains
