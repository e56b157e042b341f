"""The Python calls of one action: a measure of the server's cost that no other load on the machine disturbs.

The server's own parts decide a refund: from the bytes of an AuthorizeBatchRequest to those of the response, with SQLite
in a temporary folder. Only OPA is left out: a constant verdict, the one that the shipped policy gives, takes its place.

`python -m tests.bench.calls_per_action` prints calls and microseconds of CPU time per action.
"""

from __future__ import annotations

import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf.json_format import ParseDict

from placet.kernel.model import Effect, Finding, Verdict
from placet.permits.issuing import PermitIssuer
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import read_tree
from placet.revisions.status import EngineMode, PolicyStatus
from placet.server.ledger_clock import LedgerClock
from placet.server.observer import ServerObserver
from placet.server.parts.decisions import build_decisions
from placet.server.settings.model import Settings
from placet.server.system import SystemClock
from placet.signing.keys import load_or_create_signing_key, load_public_keys
from placet.signing.permit_keys import PermitKeyFolder
from placet.storage.database import choose_database
from placet.storage.ledger import log_error
from placet.telemetry.log import configure
from placet.telemetry.metrics import Metrics
from placet.transport.grpc.flows import Flows
from placet.transport.grpc.interceptors.caller import CallerInterceptor
from placet.transport.grpc.services.authorization import AuthorizationServicer
from placet.v1 import authorization_pb2
from tests.bench.load import REQUEST
from tests.bench.policies import with_limits
from tests.bench.profiling import Counter, cpu_ns, profile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from placet.tenants.policy import TenantPolicy
    from tests.bench.profiling import Authorize

BATCH: Final = 100
ROUNDS: Final = 30
PLAIN: Final = "acme"
"""A tenant without budgets."""
LIMITED: Final = "limited"
"""A tenant with six budgets and a limit of its runs: seven counters for each action."""
REVISION: Final = "0" * 32
FINDINGS: Final = (
    (Effect.ALLOW, "refunds.within_limit", "The refund is within the automatic limit and the user has the role"),
    (Effect.ALLOW, "tools.listed_write", "The tool is in the tenant's write_tools and requires no approval"),
)


@dataclass
class _ConstantPolicy:
    """A loaded policy that allows every action."""

    agent_policies: Mapping[str, TenantPolicy]
    revision: str = REVISION
    confirmed_at: float = field(default_factory=time.monotonic)

    def where(self, _rule_id: str) -> str:
        return ""

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict]:
        findings = tuple(Finding(*found, {}) for found in FINDINGS)
        return [Verdict(Effect.ALLOW, FINDINGS[0][1], findings, REVISION) for _ in inputs]

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict]:
        return await self.evaluate(inputs)

    def current(self) -> _ConstantPolicy:
        return self

    def status(self) -> PolicyStatus:
        return PolicyStatus(ready=True, engine_mode=EngineMode.MANAGED)


class Context:
    """The context of a call without metadata and deadline."""

    def peer(self) -> str:
        return "unix:"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def time_remaining(self) -> None:
        return None


@dataclass
class Deciding:
    """The decision path of a server, without gRPC and OPA."""

    servicer: AuthorizationServicer
    observer: ServerObserver


@asynccontextmanager
async def deciding(folder: Path, database_url: str = "", kept: Path | None = None) -> AsyncIterator[Deciding]:
    """Build the decision path of a server.

    The database is at the URL, else a file. `kept` is the folder of the file and of the keys, by default `folder`.
    """
    kept = kept or folder
    clock = LedgerClock(SystemClock(), 0)
    settings = Settings(data_dir=folder / "data")
    keys = kept / "keys"
    policy = _ConstantPolicy(parse_tenants(read_tree(with_limits(folder))))
    database = choose_database(database_url, kept / "placet.db")
    ledger = database.open("bench", load_or_create_signing_key(keys), load_public_keys(keys), clock, log_error)
    observer = ServerObserver(configure("error", "json"), Metrics(), clock, folder)
    decisions = build_decisions(settings, clock, policy, ledger, observer)
    unused = cast("Any", None)
    permits = PermitIssuer(PermitKeyFolder(folder / "permits", clock, print), policy)
    servicer = AuthorizationServicer(decisions.requests, unused, unused, permits, clock, Flows(policy))
    yield Deciding(servicer, observer)
    await decisions.requests.close()
    await ledger.close()


@asynccontextmanager
async def authorizing(folder: Path, database_url: str = "", kept: Path | None = None) -> AsyncIterator[Authorize]:
    """Yield AuthorizeBatch as a function of bytes. The database is that of `deciding`."""
    async with deciding(folder, database_url, kept) as decision_path:
        method = CallerInterceptor().intercept(decision_path.servicer.AuthorizeBatch, cast("Any", None))

        async def authorize(request: bytes) -> bytes:
            message = authorization_pb2.AuthorizeBatchRequest.FromString(request)
            response = await method(message, cast("Any", Context()))
            content: bytes = response.SerializeToString()
            return content

        yield authorize


def request_of(tenant: str, number: int, size: int) -> bytes:
    """Return a batch of `size` actions of the tenant as bytes. `number` makes its idempotency keys unique."""
    identity = {**REQUEST["identity"], "tenant": tenant}
    keys = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number} {index}")) for index in range(size)]
    actions = [{**REQUEST, "identity": identity, "idempotency_key": key} for key in keys]
    return ParseDict({"requests": actions}, authorization_pb2.AuthorizeBatchRequest()).SerializeToString()


def calls_per_action(tenant: str = PLAIN, size: int = BATCH) -> int:
    """Return the calls of Python and C functions for each action of a batch, in the event loop and the store's thread.

    The same for each run of the same code, give or take one call.
    """
    return _counted(tenant, size).calls // size


def statements_per_batch(tenant: str = PLAIN, size: int = BATCH) -> int:
    """Return the SQL statements of a batch on SQLite, reads included. One for many rows counts once."""
    return _counted(tenant, size).statements


@cache
def _counted(tenant: str, size: int) -> Counter:
    """Count one batch whose caches are filled."""
    counter = Counter()
    counted, *warm_up = [request_of(tenant, number, size) for number in range(3)]
    profile(authorizing, warm_up, counted, counter)
    return counter


def cpu_us_per_action(tenant: str = PLAIN, size: int = BATCH, rounds: int = ROUNDS) -> float:
    """Return the least CPU time of one action of a batch, in microseconds, over `rounds` batches."""
    requests = [request_of(tenant, number, size) for number in range(rounds)]
    return min(cpu_ns(authorizing, requests)) / size / 1_000


def main() -> None:
    """Print calls and CPU time per action, of both tenants, in a batch and alone."""
    for tenant in (PLAIN, LIMITED):
        for size, rounds in ((BATCH, ROUNDS), (1, 20 * ROUNDS)):
            calls, cpu_us = calls_per_action(tenant, size), cpu_us_per_action(tenant, size, rounds)
            statements = statements_per_batch(tenant, size)
            print(
                f"{tenant:8} batch of {size:3}: {calls:6} calls, {cpu_us:7.1f} us of CPU per action, "
                f"{statements} SQL statements per batch"
            )


if __name__ == "__main__":
    main()
