"""The reference of state under votes, reports, kill switches and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.properties.state_reference import HOUR, LIMITS, PEOPLE, SECOND, Decisions, covers

if TYPE_CHECKING:
    from tests.properties.state_reference import Counter, Hold, Request


@dataclass(frozen=True)
class ReportedOutcome:
    """The reported outcome of a call."""

    status: str
    micros: int | None  # cost; None when not reported
    cents: int | None  # amount; None when not reported


class Reference(Decisions):
    """The reference with the changes that are not decisions. Most methods return whether the change was accepted."""

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
        """Void the votes of a person. Returns how many open approvals and how many used ones lost a vote.

        Permits of used approvals that then lack a vote are revoked.
        """
        voted = {
            name: request for (of, name), request in self.requests.items() if of == tenant and person in request.votes
        }
        used = {name: request for name, request in voted.items() if request.state == "used"}
        open_ = [
            request
            for request in voted.values()
            if person not in request.void and self.state(request, now) in {"pending", "approved"}
        ]
        for request in open_:
            request.void.add(person)
            if len(self.agreed(request)) < request.quorum:
                request.state = "pending"
        for request in used.values():
            request.void.add(person)
        few = {(tenant, name) for name, request in used.items() if len(self.agreed(request)) < request.quorum}
        holds = self.holds.items()
        self.revoked |= {
            key for key, hold in holds if hold.young(now) and (hold.ask.tenant, hold.ask.approval_id) in few
        }
        return len(open_), len(used)

    def report(self, hold: Hold, decision_id: str, outcome: ReportedOutcome) -> tuple[bool, set[str], set[str]]:
        """Settle a reservation.

        Returns whether the report was late, the exceeded budgets, and the budgets with an excess.
        """
        late = hold.state == "expired"
        overspent = set()
        excess = {}
        for counter, held in hold.takes.items():
            named = actually(counter, held, outcome)
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
        hold.state, hold.report = "settled", outcome
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
        """Expire everything that is due."""
        for request in self.requests.values():
            request.state = self.state(request, now)
        for hold in self.holds.values():
            if hold.state == "held" and hold.expires <= now:
                hold.state = "expired"
                for counter, held in hold.takes.items():
                    self.reserved[counter] -= held
                    self.used[counter] = self.used.get(counter, 0) + counted_unreported(counter, held)
        self.keys = {key: entry for key, entry in self.keys.items() if entry[3] >= now - 24 * HOUR}

    def kill(self, switch: tuple[str, str, str], seconds: int, now: int) -> None:
        """Set a kill switch. Setting it again never shortens it. Expired switches of the tenant are removed."""
        active = self.stands(switch, now)
        before = self.switches.get(switch, 0)
        expired = [other for other in self.switches if other[1] == switch[1] and not self.stands(other, now)]
        for other in expired:
            del self.switches[other]
        ends = now + seconds * SECOND if seconds else 0
        self.switches[switch] = (max(ends, before) if ends and before else 0) if active else ends
        self.revoked |= {name for name, hold in self.holds.items() if covers(switch, hold.ask) and hold.young(now)}

    def stands(self, switch: tuple[str, str, str], now: int) -> bool:
        return switch in self.switches and not 0 < self.switches[switch] <= now


def actually(counter: Counter, held: int, outcome: ReportedOutcome) -> int:
    """Return what the call used: the reported value, else the one that its status implies."""
    unit = counter[2]
    expected = 0 if outcome.status == "not_executed" else held
    if unit == "cost":
        return expected if outcome.micros is None else outcome.micros
    if unit.startswith("amount"):
        expected = 0 if outcome.status == "failed" else expected
        return expected if outcome.cents is None else outcome.cents
    return expected


def at_once(counter: Counter, held: int) -> int:
    """Return the most that a report counts without a person.

    It is ten times the held value; for an estimated cost at least half of the limit.
    """
    return max(10 * held, LIMITS[counter[1]] // 2) if counter[2] == "cost" else 10 * held


def counted_unreported(counter: Counter, held: int) -> int:
    """Return what counts without a report: all of it, except for the budget with `unreported: release`."""
    return 0 if counter[1] == "draft" else held
