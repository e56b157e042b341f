"""Two replicas of the real services over one store, which can crash and start again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from placet.approvals.service import Approvals, VoteCommand
from placet.approvals.vote_voiding import Voiding, VoteVoiding
from placet.audit.verification.verify_trail import verify_trail
from placet.commands.execute import ControlCommands
from placet.controls.autonomy.service import AutonomyAdmin, NewLevel
from placet.controls.kill_switches.documents import switch_id
from placet.controls.kill_switches.model import KillScope
from placet.controls.kill_switches.revocation import Revoker
from placet.controls.kill_switches.service import KillSwitches, NewSwitch
from placet.controls.snapshot import ControlState
from placet.decision.attempt import Request
from placet.decision.gathering import NO_MAX_AGE, Gatherer
from placet.decision.pipeline import DecisionPoint, decision_point
from placet.decision.recorder import Recorder
from placet.kernel.errors import NotFoundError
from placet.kernel.limits import RESERVATION_TTL_SECONDS
from placet.kernel.model import Caller, Effect, Finding
from placet.kernel.state import CounterKey, ReadSet
from placet.matching.person import Person
from placet.outcomes.excess_service import OutcomeExcesses
from placet.outcomes.service import OutcomeService
from placet.signing.keys import SigningKey, generate_signing_key
from placet.storage.postgres.backend import PostgresLedger
from placet.storage.postgres.offline import verify_url
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from placet.tenants.policy import TenantPolicy
from placet.transport.grpc.messages.from_proto import parse_request
from tests.properties.state_reference import PEOPLE, POLICY
from tests.support.fakes import ALLOWED, DENIED, CountedIds, FixedClock, ScriptedPolicy, ScriptedSource, verdict
from tests.support.memory_ledger import MemoryLedger
from tests.transport.wire import request

if TYPE_CHECKING:
    from pathlib import Path

    from placet.audit.ports import Ledger
    from placet.audit.records import VerifyReport
    from placet.decision.replies import Answer
    from placet.kernel.model import Verdict
    from tests.properties.state_reference import Ask, Counter

LEADS: dict[str, Any] = {"quorum": 2, "approver_roles": ["lead"]}
MONEY: dict[str, Any] = {"measure": "amount", "currency": "USD", "match": {"tools": ["pay"]}}
CALLS: dict[str, Any] = {"measure": "calls"}
FILE = {
    "allowed_tools": ["look"],
    "write_tools": ["pay", "mail"],
    "pii": {"redact": False},
    "approvals": {"pay": {"expires_after_seconds": 3_600}},
    "autonomy": {"approval": {"approver_roles": ["lead"]}},
    "spend_limits": {"per_user_usd_per_day": Decimal("2.00")},
    "limits": {"max_tool_calls": 5, "max_same_action": 3},
    "budgets": [
        {**CALLS, "id": "user.calls", "scope": "user", "limit": 6, "window": "day", "timezone": "Europe/Berlin"},
        {**MONEY, "id": "money", "scope": "tenant", "limit": 20, "window": "month"},
        {**MONEY, "id": "money.customer", "scope": "customer", "customer": "/to", "limit": 9, "window": "day"},
        {**CALLS, "id": "soft", "scope": "agent", "limit": 3, "window": "hour", "on_exceed": "require_approval"}
        | {"approval": LEADS},
        {**CALLS, "id": "draft", "scope": "tool", "limit": 8, "window": "lifetime", "on_exceed": "draft_only"}
        | {"unreported": "release"},
    ],
}
APPROVERS = [frozenset[str](), *map(frozenset, (("lena", "luis"), ("lena", "u1"), ("luis", "u1")))]
"""The approver groups that tenants' files may have."""
FILES = {
    named: TenantPolicy.model_validate({**FILE, **({"approver_groups": {"lead": sorted(named)}} if named else {})})
    for named in APPROVERS
}
TENANTS = ("acme", "beta")


class Store(Protocol):
    """A store under test."""

    apart: bool  # whether the replicas crash separately

    def open(self, replica: int, clock: FixedClock) -> Any:
        """Open the ledger of a replica."""
        ...

    async def crash(self, ledger: Any) -> None:
        """Leave the ledger as a killed process does: without a last checkpoint or record."""
        ...

    def verify(self) -> VerifyReport:
        """Verify the trail and all state, as an auditor does."""
        ...


@dataclass
class MemoryStore:
    """A ledger in memory. A crash loses only what the services have in memory."""

    apart: bool = False
    key: SigningKey = field(default_factory=generate_signing_key)
    ledger: MemoryLedger | None = None

    def open(self, _replica: int, clock: FixedClock) -> Any:
        self.ledger = self.ledger or MemoryLedger(writer="w", signing_key=self.key, clock=clock)
        return self.ledger

    async def crash(self, ledger: Any) -> None:
        """Do nothing: the ledger survives."""

    def verify(self) -> VerifyReport:
        assert self.ledger is not None
        return verify_trail(self.ledger, self.key.public.check, state=True)


@dataclass
class SqliteStore:
    """One SQLite file. Both replicas are in one process, because only one process may write it."""

    path: Path
    apart: bool = False
    key: SigningKey = field(default_factory=generate_signing_key)
    ledger: SqliteLedger | None = None

    def open(self, _replica: int, clock: FixedClock) -> Any:
        self.ledger = self.ledger or SqliteLedger.open(self.path, writer="w", signing_key=self.key, clock=clock)
        return self.ledger

    async def crash(self, ledger: Any) -> None:
        await ledger.close()
        self.ledger = None

    def verify(self) -> VerifyReport:
        return verify_database(self.path, self.key.public, state=True)


@dataclass
class PostgresStore:
    """One PostgreSQL database. Each replica has its own chain."""

    url: str
    apart: bool = True
    key: SigningKey = field(default_factory=generate_signing_key)

    def open(self, replica: int, clock: FixedClock) -> Any:
        return PostgresLedger.open(self.url, writer=f"w{replica}", signing_key=self.key, clock=clock)

    async def crash(self, ledger: Any) -> None:
        await ledger.close()

    def verify(self) -> VerifyReport:
        return verify_url(self.url, self.key.public, state=True)


@dataclass
class Replica:
    """The services of one process."""

    ledger: Any
    point: DecisionPoint
    approvals: Approvals
    voiding: VoteVoiding
    outcomes: OutcomeService
    excesses: OutcomeExcesses
    kill_switches: KillSwitches
    autonomy: AutonomyAdmin


class Driver:
    """The replicas, their clock and their policy, which answers by `mood`. Belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FixedClock()
        self.mood = "as asked"
        self.errors: list[BaseException] = []
        self.ids = CountedIds()
        self.source = ScriptedSource(ScriptedPolicy(self._say, agent_policies=self.files(frozenset())))
        self.replicas = [self._replica(number) for number in (0, 1)]

    async def crash(self, number: int) -> None:
        """Kill a replica and start it again. Both, if they share one process."""
        killed = [number] if self.store.apart else [0, 1]
        await self.store.crash(self.replicas[number].ledger)
        for index in killed:
            self.replicas[index] = self._replica(index)

    async def close(self) -> None:
        for replica in self.replicas:
            await replica.ledger.close()

    async def decide(self, number: int, asks: list[Ask]) -> list[Answer]:
        answers = await self.replicas[number].point.decide([self.parsed(ask) for ask in asks])
        assert not self.errors
        return list(answers)

    async def decide_at_both(self, ask: Ask) -> list[Answer]:
        """Send one request to both replicas at the same time."""
        replies = await asyncio.gather(*(self.decide(number, [ask]) for number in (0, 1)))
        return [answer for answers in replies for answer in answers]

    async def decide_and_crash(self, number: int, ask: Ask, ticks: int) -> None:
        """Crash during a decision, after `ticks` passes of the event loop, or just after it."""
        deciding = asyncio.ensure_future(self.decide(number, [ask]))
        for _ in range(ticks):
            await asyncio.sleep(0)
        if isinstance(self.replicas[number].ledger, MemoryLedger):
            deciding.cancel()
        await self.crash(number)
        await asyncio.gather(deciding, return_exceptions=True)

    def files(self, approvers: frozenset[str]) -> dict[str, TenantPolicy]:
        """Return the policies of the tenants with these approvers."""
        return dict.fromkeys(TENANTS, FILES[approvers])

    def name_approvers(self, approvers: frozenset[str]) -> None:
        """Replace the approvers in the policies of all tenants."""
        assert self.source.policy is not None
        self.source.policy.agent_policies = self.files(approvers)

    async def void(self, number: int, tenant: str, person: str) -> tuple[int, int]:
        """Void a person's votes. Returns how many approvals were open, and how many used."""
        command = Voiding(tenant, person, Person("ada"), "stolen", Caller("console"))
        done = await self.replicas[number].voiding.void(command)
        return done.open_count, done.used_count

    def parsed(self, ask: Ask) -> Request:
        fields = {
            "idempotency_key": ask.key,
            "approval_id": ask.approval_id,
            "action.tool": ask.tool,
            "action.params_json": ask.params,
            "action.dry_run": ask.dry_run,
            "identity.tenant": ask.tenant,
            "identity.user": ask.user,
            "identity.agent": ask.agent,
            "run.run_id": ask.run,
            "model.estimated_cost_micros": ask.micros,
            "action.amount": {"currency_code": "USD", "minor_units": ask.cents},
        }
        return Request(parse_request(request(fields)), Caller(ask.caller), self.clock.wall)

    async def usages(self, counters: list[Counter]) -> dict[Counter, tuple[int, int]]:
        """Return counter -> (used, reserved), as stored."""
        keys = {CounterKey(*counter): counter for counter in counters}
        snapshot = await self.replicas[0].ledger.load(ReadSet(counters=list(keys)))
        return {counter: (snapshot.usage(key).used, snapshot.usage(key).reserved) for key, counter in keys.items()}

    async def kill(self, number: int, switch: tuple[str, str, str], seconds: int) -> None:
        scope, tenant, value = switch
        await self.replicas[number].kill_switches.set(
            NewSwitch(KillScope(scope), tenant, value, "ada", "it misbehaves", seconds)
        )

    async def clear(self, number: int, switch: tuple[str, str, str]) -> bool:
        """Clear a kill switch, a global one by two people. Returns whether it was set."""
        scope, tenant, value = switch
        target = switch_id(KillScope(scope), tenant, value)
        kill_switches = self.replicas[number].kill_switches
        try:
            cleared = await kill_switches.clear(target, tenant, "ada", "it is over")
            if cleared.waiting is not None:
                cleared = await kill_switches.clear(target, tenant, "bea", "it is over")
        except NotFoundError:
            return False
        return cleared.waiting is None

    def level(self, tenant: str, tool: str, level: Any, actor: str) -> NewLevel:
        return NewLevel(tenant, "", tool, "", level, actor, "because")

    def word(self, tenant: str, approval_id: str, person: str) -> VoteCommand:
        return VoteCommand(tenant, approval_id, Person(person, PEOPLE[person]), "because", Caller("console"))

    def _replica(self, number: int) -> Replica:
        ledger: Ledger = self.store.open(number, self.clock)
        controls = ControlState(ledger)
        changes = ControlCommands(ledger, self.clock, controls)
        approvals = Approvals(ledger, self.source, self.clock)

        def on_invalid_verdict(rule_id: str, why: str) -> None:
            self.errors.append(AssertionError(rule_id, why))

        return Replica(
            ledger,
            decision_point(
                Gatherer(self.source, ledger, controls, self.clock, NO_MAX_AGE),
                Recorder(self.clock, self.ids, RESERVATION_TTL_SECONDS),
                self.errors.append,
                on_invalid_verdict,
            ),
            approvals,
            VoteVoiding(approvals),
            OutcomeService(ledger, self.source, self.clock),
            OutcomeExcesses(changes),
            KillSwitches(changes, Revoker(ledger, self.clock, self.source, controls)),
            AutonomyAdmin(changes, self.source),
        )

    def _say(self, seen: dict[str, Any]) -> Verdict:
        answer = POLICY[self.mood][seen["action"]["params"]["want"]]
        if isinstance(answer, int):
            details = {"quorum": answer, "approver_roles": ["lead"]}
            return verdict(ALLOWED, Finding(Effect.REQUIRE_APPROVAL, "pay.people", "People must agree", details))
        return {"allow": verdict(ALLOWED), "deny": verdict(ALLOWED, DENIED)}.get(str(answer), verdict())
