"""A decision point with scripted parts. Each part keeps the contract of its port."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from placet.controls.snapshot import ControlState
from placet.decision.attempt import Request
from placet.decision.gathering import NO_MAX_AGE, Gatherer
from placet.decision.pipeline import decision_point
from placet.decision.recorder import Recorder
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import RESERVATION_TTL_SECONDS
from placet.kernel.model import Caller, Effect, Finding, Indeterminate, Verdict
from placet.revisions.status import EngineMode, PolicyStatus
from placet.signing.keys import generate_signing_key
from placet.tenants.policy import TenantPolicy
from placet.transport.grpc.messages.from_proto import parse_request
from tests.support.memory_ledger import MemoryLedger
from tests.transport.wire import request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.audit.records import Commitment, CommitResult

REVISION = "rev1"
NOW_US = 1_777_055_581_123_456
ALLOWED = Finding(Effect.ALLOW, "tools.listed", "It is listed")
APPROVAL_REQUIRED = Finding(
    Effect.REQUIRE_APPROVAL, "pay.large", "It is much", {"quorum": 2, "approver_roles": ["lead"]}
)
DENIED = Finding(Effect.DENY, "pay.never", "Never")
_ORDER = (Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW)

_TOOLS = {"allowed_tools": ["look"], "write_tools": ["pay"]}
AGENT_POLICIES = {
    "acme": TenantPolicy.model_validate({**_TOOLS, "tools": {"pay": {"sensitive": ["/to"]}}}),
    "open": TenantPolicy.model_validate({**_TOOLS, "pii": {"redact": False}}),
}


def verdict(*findings: Finding, revision: str = REVISION) -> Verdict:
    """Return the verdict that the shipped main package returns for these findings."""
    for effect in _ORDER:
        ids = [finding.rule_id for finding in findings if finding.effect is effect]
        if ids:
            return Verdict(effect, min(ids), findings, revision)
    return Verdict(Effect.DENY, "pdp.no_rule_matched", (), revision)


@dataclass
class FixedClock:
    """A clock that shows what tests set."""

    wall: int = NOW_US
    seconds: float = 1_000.0

    def wall_us(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds


class CountedIds:
    """Decision ids that hold the time and a running number."""

    def __init__(self) -> None:
        self.count = 0

    def decision_id(self, now_us: int) -> str:
        self.count += 1
        return f"dec_{now_us // 1_000:012x}{self.count:020x}"


@dataclass
class ScriptedPolicy:
    """A loaded policy that answers with `say`."""

    say: Callable[[dict[str, Any]], Verdict | Indeterminate] = field(default=lambda _: verdict(ALLOWED))
    revision: str = REVISION
    confirmed_at: float = 1_000.0
    agent_policies: Mapping[str, TenantPolicy] = field(default_factory=lambda: AGENT_POLICIES)
    error: Exception | None = None  # raised instead of an answer
    seen: list[dict[str, Any]] = field(default_factory=list)  # all inputs
    batches: list[int] = field(default_factory=list)  # number of inputs in each query

    def where(self, rule_id: str) -> str:
        return f"policy/{rule_id.partition('.')[0]}.rego:7"

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        if self.error is not None:
            raise self.error
        documents = [json.loads(document) for document in inputs]
        self.seen += documents
        self.batches.append(len(documents))
        return [self.say(document) for document in documents]

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        return [verdict for single in inputs for verdict in await ScriptedPolicy.evaluate(self, [single])]


@dataclass
class ScriptedSource:
    """A source that serves one policy, or none."""

    policy: ScriptedPolicy | None

    def current(self) -> ScriptedPolicy | None:
        return self.policy

    def status(self) -> PolicyStatus:
        return PolicyStatus(ready=self.policy is not None, engine_mode=EngineMode.MANAGED)


class FullLedger(MemoryLedger):
    """A ledger whose commits fail while `full`, as with a full disk."""

    full = False

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        if self.full:
            raise LedgerUnavailableError("no space left")
        return await super().commit(commitments)


class Bench:
    """A decision point and its parts."""

    def __init__(
        self,
        policy: ScriptedPolicy | None = None,
        *,
        max_age: float = NO_MAX_AGE,
        ledger: type[FullLedger] = FullLedger,
    ) -> None:
        self.policy = policy or ScriptedPolicy()
        self.source = ScriptedSource(self.policy)
        self.clock = FixedClock()
        self.ledger = ledger(writer="w", signing_key=generate_signing_key(), clock=self.clock)
        self.errors: list[BaseException] = []
        self.invalid_verdicts: list[tuple[str, str]] = []
        self.controls = ControlState(self.ledger)
        self.point = decision_point(
            Gatherer(self.source, self.ledger, self.controls, self.clock, max_age),
            Recorder(self.clock, CountedIds(), RESERVATION_TTL_SECONDS),
            self.errors.append,
            lambda rule_id, why: self.invalid_verdicts.append((rule_id, why)),
        )


def new_request(tool: str = "look", **changes: Any) -> Request:
    """Return a parsed request with a new idempotency key.

    Keyword arguments replace fields by path, with ``__`` for the dot: ``run__step=2``.
    """
    fields = {path.replace("__", "."): value for path, value in changes.items()}
    return Request(parse_request(request({"action.tool": tool, **fields})), Caller(peer="test"), NOW_US - 500)
