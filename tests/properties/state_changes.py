"""What people, time and reports do to the reference of state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.properties.state_reference import HOUR, LIMITS, PEOPLE, SECOND, Decisions, covers

if TYPE_CHECKING:
    from tests.properties.state_reference import Counter, Hold, Request


@dataclass(frozen=True)
class Said:
    """A report of what a call did."""

    status: str
    micros: int | None
    cents: int | None


class Reference(Decisions):
    """The reference, with what changes it beside decisions. Each gives whether it was taken."""

    def vote(self, request: Request, person: str, now: int, *, approve: bool) -> bool:
        ask = request.ask
        named = not self.approvers or person in self.approvers
        eligible = named and "lead" in PEOPLE[person] and person not in {ask.user, ask.agent} | request.votes
        if self.state(request, now) != "pending" or not eligible:
            return False
        if not approve:
            request.state = "rejected"
            return True
        request.votes.add(person)
        if len(self.agreed(request)) >= request.quorum:
            request.state = "approved"
        return True

    def cancel(self, request: Request, person: str, now: int) -> bool:
        ask = request.ask
        named = not self.approvers or person in self.approvers
        may = person == ask.user or (named and "lead" in PEOPLE[person] and person != ask.agent)
        if self.state(request, now) not in {"pending", "approved"} or not may:
            return False
        request.state = "cancelled"
        return True

    def void(self, tenant: str, person: str, now: int) -> tuple[int, int]:
        """How many open ones lost the person's vote, and how many were used, whose permits are void by that."""
        of = {name: each for (kept, name), each in self.requests.items() if kept == tenant and person in each.votes}
        used = {name: each for name, each in of.items() if each.state == "used"}
        open_ = [
            each for each in of.values() if person not in each.void and self.state(each, now) in {"pending", "approved"}
        ]
        for each in open_:
            each.void.add(person)
            if len(self.agreed(each)) < each.quorum:
                each.state = "pending"
        for each in used.values():
            each.void.add(person)
        few = {(tenant, name) for name, each in used.items() if len(self.agreed(each)) < each.quorum}
        holds = self.holds.items()
        self.revoked |= {
            key for key, hold in holds if hold.young(now) and (hold.ask.tenant, hold.ask.approval_id) in few
        }
        return len(open_), len(used)

    def report(self, hold: Hold, decision_id: str, said: Said) -> tuple[bool, set[str], set[str]]:
        """Whether it was late, which budgets are beyond their limits by it, and of which a part waits for a person."""
        late = hold.state == "expired"
        overspent = set()
        excess = {}
        for counter, held in hold.takes.items():
            named = actually(counter, held, said)
            used = min(named, at_once(counter, held))
            if used < named:
                excess[counter] = named - used
            counted = counted_unreported(counter, held) if late else held
            if not late:
                self.reserved[counter] -= held
            self.used[counter] = self.used.get(counter, 0) + used - (counted if late else 0)
            if used > counted and self.spent(counter) > LIMITS[counter[1]]:
                overspent.add(counter[1])
                self.may_exceed.add(counter)
        hold.state, hold.report = "settled", said
        if excess:
            self.excesses[decision_id] = excess
        return late, overspent, {counter[1] for counter in excess}

    def decide_on_excess(self, decision_id: str, actor: str, *, accept: bool) -> bool:
        ask = self.holds[decision_id].ask
        if actor in {ask.user, ask.agent} or decision_id not in self.excesses:
            return False
        for counter, amount in self.excesses.pop(decision_id).items():
            if accept:
                self.used[counter] += amount
                self.may_exceed.add(counter)
        return True

    def pass_time(self, now: int) -> None:
        """Somebody looks at what is over by now."""
        for request in self.requests.values():
            request.state = self.state(request, now)
        for hold in self.holds.values():
            if hold.state == "held" and hold.expires <= now:
                hold.state = "expired"
                for counter, held in hold.takes.items():
                    self.reserved[counter] -= held
                    self.used[counter] = self.used.get(counter, 0) + counted_unreported(counter, held)
        self.keys = {key: kept for key, kept in self.keys.items() if kept[3] >= now - 24 * HOUR}

    def kill(self, switch: tuple[str, str, str], seconds: int, now: int) -> None:
        """Set one. It is never shortened by being set again, and those whose time is over are put away."""
        standing = self.stands(switch, now)
        before = self.switches.get(switch, 0)
        over = [each for each in self.switches if each[1] == switch[1] and not self.stands(each, now)]
        for each in over:
            del self.switches[each]
        wanted = now + seconds * SECOND if seconds else 0
        self.switches[switch] = (max(wanted, before) if wanted and before else 0) if standing else wanted
        self.revoked |= {name for name, each in self.holds.items() if covers(switch, each.ask) and each.young(now)}

    def stands(self, switch: tuple[str, str, str], now: int) -> bool:
        return switch in self.switches and not 0 < self.switches[switch] <= now


def actually(counter: Counter, held: int, said: Said) -> int:
    """What the call took, by the report: what it names, else what its status makes likely."""
    unit = counter[2]
    expected = 0 if said.status == "not_executed" else held
    if unit == "cost":
        return expected if said.micros is None else said.micros
    if unit.startswith("amount"):
        expected = 0 if said.status == "failed" else expected
        return expected if said.cents is None else said.cents
    return expected


def at_once(counter: Counter, held: int) -> int:
    """The most that a report counts without a person: ten times what was held; of an estimate half of the limit."""
    return max(10 * held, LIMITS[counter[1]] // 2) if counter[2] == "cost" else 10 * held


def counted_unreported(counter: Counter, held: int) -> int:
    """What counts when nobody reports: all of it, but for the budget whose file says release."""
    return 0 if counter[1] == "draft" else held
