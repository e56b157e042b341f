"""A reference model of all state, in simple Python, that the real services are compared with.

It is written from the documented behaviour, for one fixed tenant file. It has no store, no commits and no races.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

LEVELS = ("observe_only", "draft_only", "execute_with_approval", "execute")
WIDEST_FIRST = ("global", "tenant", "tool", "agent", "run")
PEOPLE = {"lena": ("lead",), "luis": ("lead",), "nora": (), "u1": ("lead",), "bot1": ("lead",)}
SECOND = 1_000_000
HOUR = 3_600 * SECOND
HELD = 900 * SECOND
LIMITS = {
    "user.calls": 6,
    "money": 2_000,
    "money.customer": 900,
    "spend.per_user_per_day": 2_000_000,
    "soft": 3,
    "draft": 8,
    "limits.max_tool_calls": 5,
    "limits.loop": 3,
}
POLICY: dict[str, dict[str, str | int]] = {
    "as asked": {"allow": "allow", "one": 1, "two": 2, "deny": "deny", "nothing": "nothing"},
    "strict": {"allow": 1, "one": 2, "two": "deny", "deny": "deny", "nothing": "nothing"},
    "lax": {"allow": "allow", "one": "allow", "two": 1, "deny": "deny", "nothing": "nothing"},
}
"""Mood of the policy -> the `want` of an action -> the answer: an effect, or the required quorum."""
Counter = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Ask:
    """A request."""

    key: str
    tenant: str
    caller: str
    tool: str
    user: str
    agent: str
    run: str
    customer: str
    want: str
    cents: int
    micros: int
    dry_run: bool
    approval_id: str = ""

    @property
    def params(self) -> str:
        return json.dumps({"to": self.customer, "want": self.want}, separators=(",", ":"))

    @property
    def bound(self) -> tuple[Any, ...]:
        """Return the fields that an approval is bound to."""
        return (self.tenant, self.tool, self.user, self.agent, self.run, self.params, self.cents, self.dry_run)


@dataclass(frozen=True)
class Expected:
    """The expected answer."""

    effect: str
    rules: frozenset[str]  # the rule_id of the answer is the first of them
    quorum: int = 0
    agreed: frozenset[str] = frozenset()  # exceeded budgets that people are asked about


@dataclass
class Request:
    """An approval."""

    ask: Ask
    quorum: int
    agreed: frozenset[str]
    expires: int
    state: str = "pending"
    votes: set[str] = field(default_factory=set)
    void: set[str] = field(default_factory=set)


@dataclass
class Hold:
    """The reservation of an allow."""

    ask: Ask
    takes: dict[Counter, int]
    expires: int
    state: str = "held"
    report: Any = None

    def young(self, now: int) -> bool:
        """Return whether its permit may still be accepted: a minute, and five seconds of clock skew."""
        return self.expires - HELD >= now - 65 * SECOND


def window(kind: str, ask: Ask, now: int) -> str:
    moment = datetime.fromtimestamp(now / SECOND, UTC)
    day = moment.astimezone(ZoneInfo("Europe/Berlin"))
    return {
        "day": f"{day:%Y-%m-%d}",
        "utc day": f"{moment:%Y-%m-%d}",
        "month": f"{moment:%Y-%m}",
        "hour": f"{moment:%Y-%m-%dT%H}+00:00",
        "lifetime": "lifetime",
        "run": f"run:{ask.run}",
    }[kind]


def takes_of(ask: Ask, now: int) -> dict[Counter, int]:
    """Return counter -> amount that the action takes."""
    same = hashlib.sha256(f"{ask.tool}\0{ask.params}".encode()).hexdigest()[:16]
    moves = ask.cents if ask.tool == "pay" and not ask.dry_run else None
    rows = [
        ("user.calls", "calls", "day", f"user:{ask.user}", 1),
        ("money", "amount:USD", "month", "tenant", moves),
        ("money.customer", "amount:USD", "utc day", f"customer:{ask.customer}", moves),
        ("spend.per_user_per_day", "cost", "utc day", f"user:{ask.user}", max(1, ask.micros)),
        ("soft", "calls", "hour", f"agent:{ask.agent}", 1),
        ("draft", "calls", "lifetime", f"tool:{ask.tool}", 1),
        ("limits.max_tool_calls", "calls", "run", f"run:{ask.run}", 1),
        ("limits.loop", "calls", "run", f"run:{ask.run}:{same}", 1),
    ]
    return {
        (ask.tenant, name, unit, window(kind, ask, now), member): takes
        for name, unit, kind, member, takes in rows
        if takes is not None
    }


def lives(ask: Ask) -> int:
    """Return how long the approval of an action is open."""
    return HOUR if ask.tool == "pay" else 24 * HOUR


def covers(switch: tuple[str, str, str], ask: Ask) -> bool:
    kind, tenant, value = switch
    named = {"tool": ask.tool, "agent": ask.agent, "run": ask.run}.get(kind, "")
    matches = named.startswith(value[:-1]) if value.endswith("*") else named == value
    return tenant in {"", ask.tenant} and matches


class Decisions:
    """The state, and the decisions that it implies."""

    def __init__(self) -> None:
        self.used: dict[Counter, int] = {}
        self.reserved: dict[Counter, int] = {}
        self.may_exceed: set[Counter] = set()
        self.keys: dict[tuple[str, str, str], tuple[Ask, str, Expected, int]] = {}
        self.requests: dict[tuple[str, str], Request] = {}
        self.newest: dict[tuple[Any, ...], str] = {}
        self.waits_for: dict[str, str] = {}
        self.holds: dict[str, Hold] = {}
        self.excesses: dict[str, dict[Counter, int]] = {}
        self.switches: dict[tuple[str, str, str], int] = {}
        self.revoked: set[str] = set()
        self.levels: dict[tuple[str, str], str] = {}
        self.mood = "as asked"
        self.approvers: frozenset[str] = frozenset()

    def agreed(self, request: Request) -> set[str]:
        """Return the votes that count: those of current approvers; all, when the file names no approvers."""
        votes = request.votes - request.void
        return votes & self.approvers if self.approvers else votes

    def spent(self, counter: Counter) -> int:
        return self.used.get(counter, 0) + self.reserved.get(counter, 0)

    def state(self, request: Request, now: int) -> str:
        open_ = request.state in {"pending", "approved"}
        return "expired" if open_ and request.expires <= now else request.state

    def stopped_by(self, ask: Ask, now: int) -> str:
        """Return the widest scope of a kill switch that covers the request; "" for none."""
        for scope in WIDEST_FIRST:
            for switch, expires in self.switches.items():
                if switch[0] == scope and covers(switch, ask) and not 0 < expires <= now:
                    return scope
        return ""

    def level(self, ask: Ask) -> str:
        return self.levels.get((ask.tenant, ask.tool)) or self.levels.get((ask.tenant, "")) or "execute"

    def judge(self, ask: Ask, now: int) -> Expected:
        """Return the expected answer to a request whose key is new."""
        request = self.requests.get((ask.tenant, ask.approval_id))
        answer = POLICY[self.mood][ask.want]
        refused = self.refused(ask, request, answer, now)
        if refused:
            return Expected("deny", frozenset({refused}))
        exceeded = self.exceeded(ask, now)
        denies = frozenset(exceeded - {"budgets.soft"})
        if denies:
            return Expected("deny", denies)
        asks = {"pay.people": answer} if isinstance(answer, int) else {}
        asks |= dict.fromkeys(exceeded, 2)
        level = self.level(ask) if ask.tool != "look" else "execute"
        if level == "observe_only" or (level == "draft_only" and not ask.dry_run):
            return Expected("deny", frozenset({f"autonomy.{level}"}))
        if level == "execute_with_approval" and not ask.dry_run and not asks:
            asks = {"autonomy.execute_with_approval": 1}
        return self.people(asks, request) if asks else Expected("allow", frozenset({"tools.listed"}))

    def refused(self, ask: Ask, request: Request | None, answer: str | int, now: int) -> str:
        """Return the rule that denies before limits are checked: kill switches, the approval, policy. "" for none."""
        if scope := self.stopped_by(ask, now):
            return f"kill_switch.{scope}"
        if ask.approval_id:
            why = self.state(request, now) if request else "unknown"
            why = "digest_mismatch" if request and request.ask.bound != ask.bound else why
            if why != "approved":
                return f"approvals.{why}"
        return {"deny": "pay.never", "nothing": "pdp.no_rule_matched"}.get(str(answer), "")

    def exceeded(self, ask: Ask, now: int) -> set[str]:
        """Return the rules of all exceeded limits. A dry run passes the budget with `on_exceed: draft_only`."""
        names = {name for _, name, *_ in self.full(ask, now)} - ({"draft"} if ask.dry_run else set())
        return {name if name.startswith("limits.") else f"budgets.{name}" for name in names}

    def full(self, ask: Ask, now: int) -> list[Counter]:
        taken = takes_of(ask, now).items()
        return [counter for counter, takes in taken if self.spent(counter) + takes > LIMITS[counter[1]]]

    def people(self, asks: dict[str, int], request: Request | None) -> Expected:
        """Return the expected answer when `asks` maps rules to quorums. `request` is the approved approval, if any."""
        agreed = frozenset(asks) & {"budgets.soft"}
        if request and len(self.agreed(request)) >= max(asks.values()) and agreed <= request.agreed:
            return Expected("allow", frozenset({"approvals.granted"}))
        return Expected("require_approval", frozenset({min(asks)}), max(asks.values()), agreed)

    def earlier(self, ask: Ask, now: int) -> tuple[Ask, str, Expected | None]:
        """Return the request to decide; or, with an Expected, the decision that is stored under the key."""
        entry = self.keys.get((ask.tenant, ask.caller, ask.key))
        if entry is None:
            return ask, "", None
        first, decision_id, expected, _ = entry
        if replace(first, approval_id="", micros=0) != replace(ask, approval_id="", micros=0):
            return ask, "", Expected("error", frozenset())
        own = self.waits_for.get(decision_id, "")
        request = self.requests.get((ask.tenant, own))
        if expected.effect == "require_approval" and request and self.state(request, now) == "approved":
            return replace(ask, approval_id=own), "", None
        instead = self.instead(ask, first.approval_id, decision_id, now) if expected.effect == "allow" else ""
        if instead:
            return ask, "", Expected("deny", frozenset({instead}))
        return ask, decision_id, expected

    def instead(self, ask: Ask, used: str, decision_id: str, now: int) -> str:
        """Return the rule that denies a repeated allow; "" when the allow is returned again.

        A repeated allow uses no more of any limit. `used` is the approval that the allow used.
        """
        if scope := self.stopped_by(ask, now):
            return f"kill_switch.{scope}"
        if decision_id in self.revoked:
            return "pdp.permit_revoked"
        answer = POLICY[self.mood][ask.want]
        if not isinstance(answer, int) and answer != "allow":
            return {"deny": "pay.never", "nothing": "pdp.no_rule_matched"}[answer]
        asks = {"pay.people": answer} if isinstance(answer, int) else {}
        level = self.level(ask) if ask.tool != "look" else "execute"
        if level == "observe_only" or (level == "draft_only" and not ask.dry_run):
            return f"autonomy.{level}"
        if level == "execute_with_approval" and not ask.dry_run and not asks:
            asks = {"autonomy.execute_with_approval": 1}
        request = self.requests.get((ask.tenant, used))
        agreed = len(self.agreed(request)) if request else 0
        return "pdp.repeat_needs_approval" if asks and agreed < max(asks.values()) else ""

    def open_for(self, ask: Ask, expected: Expected, now: int) -> str:
        """Return the open approval that the action can use; "" when a new one is opened."""
        name = self.newest.get((ask.caller, *ask.bound), "")
        request = self.requests.get((ask.tenant, name))
        if request is None or request.expires > now + lives(ask) or not expected.agreed <= request.agreed:
            return ""
        state = self.state(request, now)
        granted = state == "approved" and len(self.agreed(request)) >= expected.quorum
        return name if granted or (state == "pending" and request.quorum == expected.quorum) else ""

    def record(self, ask: Ask, expected: Expected, decision_id: str, now: int) -> None:
        """Record a decision: store it under its key and reserve what it takes."""
        self.keys[ask.tenant, ask.caller, ask.key] = (ask, decision_id, expected, now)
        if expected.effect == "require_approval":
            name = self.open_for(ask, expected, now)
            if not name:
                name = decision_id.replace("dec_", "apr_")
                self.requests[ask.tenant, name] = Request(ask, expected.quorum, expected.agreed, now + lives(ask))
            self.newest[(ask.caller, *ask.bound)] = self.waits_for[decision_id] = name
        if expected.effect == "allow":
            takes = takes_of(ask, now)
            for counter, amount in takes.items():
                self.reserved[counter] = self.reserved.get(counter, 0) + amount
                if counter[1] == "soft" or (counter[1] == "draft" and ask.dry_run):
                    self.excuse(counter, ask)
            self.holds[decision_id] = Hold(ask, takes, now + HELD)
            if ask.approval_id:
                self.requests[ask.tenant, ask.approval_id].state = "used"

    def excuse(self, counter: Counter, ask: Ask) -> None:
        """Note that a budget may be exceeded: by a dry run, or because people approved it."""
        request = self.requests.get((ask.tenant, ask.approval_id))
        if counter[1] == "draft" or (request and request.agreed):
            self.may_exceed.add(counter)
