"""Two tenants with the same policy: a victim that owns one of every resource, and an attacker that has no access."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import grpc

from placet.commands.execute import ControlCommands
from placet.identity.model import Grant, Role
from placet.sdk import (
    Action,
    Amount,
    ApprovalClient,
    AuditClient,
    Autonomy,
    Client,
    ControlClient,
    Effect,
    Identity,
    KillScope,
    Person,
    Query,
    Run,
)
from placet.server.system import SystemClock
from placet.tokens.directory import TokenDirectory
from placet.tokens.model import NewToken
from placet.tokens.service import Tokens
from tests.transport.wire import refusal_of

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from placet.audit.ports import Ledger
    from placet.sdk import Decision
    from tests.serving import Server

VICTIM: Final = "victim"
ATTACKER: Final = "attacker"
INTRUDER: Final = "intruder"
"""A second attacker, which sets no kill switch in its own tenant."""
SECRET: Final = "5ecret"  # noqa: S105 - no password: a part of all that the attacker cannot guess
USER, RUN, AGENT, WORKFLOW = "u_1", "run_1", "payer", "payouts"
"""The victim and the attacker use the same names."""
PARAMS: Final = {"to": f"account-{SECRET}"}
KEEPER: Final = Person(f"keeper-{SECRET}", ("keeper",))
OPERATOR: Final = f"operator-{SECRET}"
AMOUNT: Final = 700
BUDGET: Final = "money"
SCOPE_KEY: Final = f"user:{USER}"
STREAM_SECONDS: Final = 1.0
POLICY: Final = """
agent_policy:
  default_mode: read_only
  allowed_tools: [vault.read]
  write_tools: [vault.pay, vault.wire]
  approvals:
    vault.pay: not_required
    vault.wire: {quorum: 1, approver_roles: [keeper]}
  budgets:
    - {id: money, scope: user, measure: amount, currency: USD, limit: 1000.00, window: lifetime}
"""
READ, PAY, WIRE = "vault.read", "vault.pay", "vault.wire"


@dataclass(frozen=True, slots=True)
class Belongings:
    """One of each thing that a tenant may have: key and id of an allow, an approval that waits, one that was given.

    `asked` is the decision that `waiting` belongs to; `page_token` leads to what is older than the newest decision.
    """

    key: str
    allowed: str
    asked: str
    waiting: str
    approved: str
    switch: str
    page_token: str
    token: str
    permit: str
    """The permit of `allowed`."""


@dataclass(frozen=True, slots=True)
class Victim:
    """Belongings whose ids the attacker guessed, and belongings whose ids it did not."""

    guessed: Belongings
    hidden: Belongings

    @property
    def secrets(self) -> list[bytes]:
        """What no answer to the attacker may hold."""
        return [SECRET.encode(), *(each.encode() for each in astuple(self.hidden))]


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a call: response messages as bytes, or an error."""

    messages: tuple[bytes, ...] = ()
    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""


@dataclass
class Houses:
    """A server with all tenants."""

    server: Server
    channel: grpc.Channel = field(init=False)

    def __post_init__(self) -> None:
        self.channel = grpc.insecure_channel(self.server.address)

    def ask(self, tenant: str, tool: str, run_id: str = RUN, **more: Any) -> Decision:
        """A decision about the victim's action, in whoever's name."""
        amount = Amount("USD", AMOUNT)
        with Client(self.server.address, timeout=30, on_failure="raise") as client:
            return client.authorize(
                Action(tool, PARAMS, amount=amount),
                Identity(agent=AGENT, tenant=tenant, user=USER),
                run=Run(run_id=run_id, workflow=WORKFLOW),
                **more,
            )

    def call(self, method: MethodDescriptor, message: Message) -> Answered:
        """Call as it goes over the wire; what a stream gives within a second."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        raw = message.SerializeToString()
        received: list[bytes] = []
        try:
            if method.server_streaming:
                received.extend(self.channel.unary_stream(path, None, None)(raw, timeout=STREAM_SECONDS))
            else:
                received.append(self.channel.unary_unary(path, None, None)(raw, timeout=30))
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            if not method.server_streaming or refusal.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                return Answered(tuple(received), refusal.code, refusal.text)
        return Answered(tuple(received))

    def state(self, tenant: str = VICTIM) -> dict[str, list[tuple[Any, ...]]]:
        """All that is stored of a tenant, by table."""
        uri = f"file:{self.server.data_dir}/placet.db?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            database.execute("BEGIN")
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {table: _rows(database, table, tenant) for table in tables if _has_tenant(database, table)}

    def furnish(self, name: str) -> Belongings:
        """Make one of everything."""
        key = uuid.uuid4().hex
        allowed = self.ask(VICTIM, PAY, idempotency_key=key, include_permit=True)
        agreed = self.ask(VICTIM, WIRE, run_id=RUN if name == "guessed" else f"{name}_agreed")
        pending = self.ask(VICTIM, WIRE, run_id=f"{name}_waits")
        assert allowed.effect is Effect.ALLOW
        assert allowed.permit
        assert pending.approval is not None
        assert agreed.approval is not None
        with ApprovalClient(self.server.address) as people:
            people.approve(VICTIM, agreed.approval.id, KEEPER)
        reason = f"reason-{SECRET}"
        with ControlClient(self.server.address) as control:
            set_now = control.set_kill_switch(KillScope.RUN, name, actor=OPERATOR, reason=reason, tenant=VICTIM)
            control.set_autonomy(VICTIM, Autonomy.DRAFT_ONLY, actor=OPERATOR, reason=reason, workflow=name)
        with AuditClient(self.server.address) as audit:
            page = audit.query(Query(tenant=VICTIM, page_size=1))
        return Belongings(
            key,
            allowed.decision_id,
            pending.decision_id,
            pending.approval.id,
            agreed.approval.id,
            set_now.kill_switch.id,
            page.next_page_token,
            self.server.run(new_token_id(self.server.running.ledger)),
            allowed.permit,
        )


async def new_token_id(ledger: Ledger) -> str:
    """Create an access token of the victim, and return its id."""
    clock = SystemClock()
    tokens = Tokens(ControlCommands(ledger, clock, TokenDirectory(ledger, clock, alone=True)), noop)
    grants = (Grant(Role.OPERATOR, frozenset({VICTIM})),)
    _, token = await tokens.create(NewToken(f"token-{SECRET}", grants), OPERATOR)
    return token.token_id


async def noop() -> None:
    """Wait for nobody."""


def _has_tenant(database: sqlite3.Connection, table: str) -> bool:
    return "tenant" in {row[1] for row in database.execute(f"PRAGMA table_info({table})")}


def _rows(database: sqlite3.Connection, table: str, tenant: str) -> list[tuple[Any, ...]]:
    return sorted(database.execute(f"SELECT * FROM {table} WHERE tenant = ?", (tenant,)), key=repr)  # noqa: S608 - our tables
