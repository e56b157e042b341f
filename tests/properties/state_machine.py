"""A state machine that applies random changes to the real services and to the reference, and compares both."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.audit.records import DecisionQuery
from placet.controls.autonomy.model import AutonomyLevel
from placet.kernel.errors import (
    FailedPreconditionError,
    IdempotencyConflictError,
    NotFoundError,
    OutcomeConflictError,
    PlacetError,
)
from placet.kernel.model import Caller, Decision, Effect
from placet.outcomes.excess_service import ExcessCommand
from placet.outcomes.expiry import expire_due, purge_idempotency_keys
from tests.properties.state_changes import Reference, ReportedOutcome
from tests.properties.state_driver import APPROVERS, Driver
from tests.properties.state_reference import LEVELS, LIMITS, POLICY, SECOND, Ask
from tests.properties.state_strategies import (
    FRESH,
    asks,
    jumps,
    persons,
    places,
    replicas,
    reports,
    switches,
    tenants,
    ways,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from placet.decision.replies import Answer
    from tests.properties.state_driver import Store
    from tests.properties.state_reference import Expected, Hold


class StateMachine(RuleBasedStateMachine):
    """The real services and the reference."""

    steps = 0

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.run = self.runner.run
        self.numbers = itertools.count()
        self.reference = Reference()
        self.answered: dict[str, tuple[str, Decision]] = {}
        self.unseen: list[str] = []
        self.driver = self.run(self._open(store))

    async def _open(self, store: Store) -> Driver:
        return Driver(store)

    def teardown(self) -> None:
        try:
            self._all_state_is_proven()
        finally:
            self.run(self.driver.close())
            self.runner.close()

    @property
    def now(self) -> int:
        return self.driver.clock.wall

    # What agents do

    @rule(number=replicas, ask=asks)
    def authorize(self, number: int, ask: Ask) -> None:
        self._one(number, self._named(ask))

    @rule(number=replicas, ask=asks)
    def authorize_what_is_harmless(self, number: int, ask: Ask) -> None:
        self._one(number, self._named(replace(ask, want="allow", micros=0, cents=1)))

    @rule(ask=asks)
    def authorize_at_both_at_once(self, ask: Ask) -> None:
        self._at_both(self._named(ask))

    @precondition(lambda self: self.reference.keys)
    @rule(place=places)
    def repeat_a_key_at_both_at_once(self, place: int) -> None:
        self._at_both(_chosen(self.reference.keys, place)[0])

    @rule(number=replicas, batch=st.lists(asks, min_size=2, max_size=6))
    def authorize_a_batch(self, number: int, batch: list[Ask]) -> None:
        self._many(number, [self._named(replace(ask, key=FRESH)) for ask in batch])

    @precondition(lambda self: self.reference.keys)
    @rule(number=replicas, place=places, other=st.sampled_from([{}, {}, {}, {"cents": 102}, {"micros": 7}]))
    def repeat_a_key(self, number: int, place: int, other: dict[str, Any]) -> None:
        first = _chosen(self.reference.keys, place)[0]
        self._one(number, replace(first, **other))

    @precondition(lambda self: self.reference.requests)
    @rule(
        number=replicas,
        place=places,
        other=st.sampled_from([{}, {}, {}, {"cents": 101}, {"run": "r9"}]),
        count=st.integers(1, 3),
    )
    def present_an_approval(self, number: int, place: int, other: dict[str, Any], count: int) -> None:
        requests = self.reference.requests
        approved = [name for name, each in requests.items() if self.reference.state(each, self.now) == "approved"]
        tenant, approval_id = _chosen(dict.fromkeys(approved if place % 4 and approved else requests), place, keys=True)
        ask = requests[tenant, approval_id].ask
        ask = replace(ask, approval_id=approval_id, key=FRESH, **other)
        self._many(number, [self._named(ask) for _ in range(count)])

    @precondition(lambda self: self.reference.holds)
    @rule(number=replicas, place=places, reported=reports, stranger=st.sampled_from([False] * 7 + [True]))
    def report(self, number: int, place: int, reported: ReportedOutcome, *, stranger: bool) -> None:
        decision_id = _chosen(self.reference.holds, place, keys=True)
        hold = self.reference.holds[decision_id]
        caller = "a stranger" if stranger else hold.ask.caller
        reply = self.run(self._report(number, hold, decision_id, reported, caller))
        if stranger:
            assert isinstance(reply, NotFoundError)
        elif hold.report is not None and hold.report != reported:
            assert isinstance(reply, OutcomeConflictError)
        elif hold.report is not None:
            assert reply.repeated
        else:
            late, overspent, held = self.reference.report(hold, decision_id, reported)
            assert (reply.repeated, reply.late, set(reply.exceeded_budget_ids)) == (False, late, overspent)
            assert set(reply.held) == held

    @precondition(lambda self: self.reference.excesses)
    @rule(number=replicas, place=places, who=st.sampled_from(["ada", "ada", "user", "agent"]), accept=st.booleans())
    def decide_on_an_excess(self, number: int, place: int, who: str, *, accept: bool) -> None:
        decision_id = _chosen(self.reference.excesses, place, keys=True)
        ask = self.reference.holds[decision_id].ask
        actor = getattr(ask, who, who)
        word = ExcessCommand(ask.tenant, decision_id, accept, actor, "because")
        taken = self._taken(self.driver.replicas[number].excesses.decide(word))
        assert taken == self.reference.decide_on_excess(decision_id, actor, accept=accept)
        assert not taken or not self._taken(self.driver.replicas[1 - number].excesses.decide(word)), "once"

    @precondition(lambda self: any(each.effect is Effect.DENY for _, each in self.answered.values()))
    @rule(number=replicas, reported=reports)
    def report_on_a_deny(self, number: int, reported: ReportedOutcome) -> None:
        denied = [each for each in self.answered.values() if each[1].effect is Effect.DENY]
        tenant, decision = denied[-1]
        outcome = Outcome(OutcomeStatus(reported.status))
        taken = (
            self.run(self._take(number, OutcomeReport(tenant, decision.decision_id, Caller(caller), outcome)))
            for caller in ("c1", "c2")
        )
        assert {type(each) for each in taken} == {FailedPreconditionError, NotFoundError}

    # What people do

    @precondition(lambda self: self.reference.requests)
    @rule(
        number=replicas,
        place=places,
        person=persons,
        approve=st.sampled_from([True, True, True, False]),
    )
    def vote(self, number: int, place: int, person: str, *, approve: bool) -> None:
        tenant, approval_id = _chosen(self.reference.requests, place, keys=True)
        word = self.driver.word(tenant, approval_id, person)
        approvals = self.driver.replicas[number].approvals
        taken = self._taken(approvals.approve(word) if approve else approvals.reject(word))
        assert taken == self.reference.vote(
            self.reference.requests[tenant, approval_id], person, self.now, approve=approve
        )

    @precondition(lambda self: self.reference.requests)
    @rule(number=replicas)
    def all_agree_to_the_newest(self, number: int) -> None:
        for person in ("lena", "luis"):
            self.vote(number=number, place=-1, person=person, approve=True)

    @rule(number=replicas, ask=asks, want=st.sampled_from(["one", "two"]), how=ways)
    def ask_agree_and_go_on(self, number: int, ask: Ask, want: str, how: str) -> None:
        known = set(self.reference.requests)
        ask = self._named(replace(ask, want=want, key=FRESH))
        self._one(number, ask)
        for _, approval_id in self.reference.requests.keys() - known:
            self.all_agree_to_the_newest(number=1 - number)
            if how == "late":
                spending = replace(ask, tool="look", want="allow", micros=0, key=FRESH, approval_id="")
                self._many(number, [self._named(replace(spending, customer=f"c_{each}")) for each in range(3)])
            if how == "stricter":
                self.change_policy(mood="strict")
            if how == "at once":
                self._at_both(ask)
            if how in {"key", "both"}:
                self._one(number, ask)
            if how not in {"key", "at once"}:
                presented = [self._named(replace(ask, key=FRESH, approval_id=approval_id)) for _ in range(3)]
                self._many(1 - number, presented)

    @precondition(lambda self: self.reference.requests)
    @rule(number=replicas, place=places, person=persons)
    def cancel(self, number: int, place: int, person: str) -> None:
        tenant, approval_id = _chosen(self.reference.requests, place, keys=True)
        taken = self._taken(
            self.driver.replicas[number].approvals.cancel(self.driver.word(tenant, approval_id, person))
        )
        assert taken == self.reference.cancel(self.reference.requests[tenant, approval_id], person, self.now)

    @rule(approvers=st.sampled_from(APPROVERS))
    def change_the_approvers(self, approvers: frozenset[str]) -> None:
        self.driver.name_approvers(approvers)
        self.reference.approvers = approvers

    @rule(number=replicas, tenant=tenants, person=st.sampled_from(["lena", "luis", "nora"]))
    def void_votes(self, number: int, tenant: str, person: str) -> None:
        voided = self.run(self.driver.void(number, tenant, person))
        assert voided == self.reference.void(tenant, person, self.now)

    @rule(number=replicas, switch=switches, seconds=st.sampled_from([0, 60, 60, 3_600]))
    def set_a_kill_switch(self, number: int, switch: tuple[str, str, str], seconds: int) -> None:
        self.run(self.driver.kill(number, switch, seconds))
        self.reference.kill(switch, seconds, self.now)

    @precondition(lambda self: self.reference.switches)
    @rule(number=replicas, place=places)
    def clear_a_kill_switch(self, number: int, place: int) -> None:
        switch = _chosen(self.reference.switches, place, keys=True)
        taken = self.run(self.driver.clear(number, switch))
        assert taken == self.reference.stands(switch, self.now)
        if taken:
            del self.reference.switches[switch]

    @rule(
        number=replicas,
        tenant=tenants,
        tool=st.sampled_from(["", "pay"]),
        level=st.sampled_from(LEVELS),
    )
    def set_autonomy(self, number: int, tenant: str, tool: str, level: str) -> None:
        self.run(self._level(number, tenant, tool, AutonomyLevel(level)))
        self.reference.levels[tenant, tool] = level

    @rule(mood=st.sampled_from(sorted(POLICY)))
    def change_policy(self, mood: str) -> None:
        self.driver.mood = self.reference.mood = mood

    # What happens by itself

    @rule(seconds=jumps)
    def move_the_clock(self, seconds: int | str) -> None:
        clock = self.driver.clock
        clock.wall = _month_end(clock.wall) if isinstance(seconds, str) else clock.wall + seconds * SECOND

    @rule(number=replicas)
    def keep_house(self, number: int) -> None:
        self.run(self._keep_house(number))
        self.reference.pass_time(self.now)
        self._all_state_is_proven()

    @rule(number=replicas)
    def crash(self, number: int) -> None:
        self.run(self.driver.crash(number))

    @rule(number=replicas, other=replicas, ask=asks, ticks=st.integers(0, 40))
    def crash_while_deciding(self, number: int, other: int, ask: Ask, ticks: int) -> None:
        ask = self._named(ask)
        self.run(self.driver.decide_and_crash(number, ask, ticks))
        self._one(other, ask)

    # What must hold after each

    @invariant()
    def every_answer_is_in_the_trail(self) -> None:
        for decision_id in self.unseen:
            tenant, decision = self.answered[decision_id]
            recorded = self.run(self.driver.replicas[0].ledger.get_decision(tenant, decision_id))
            assert recorded is not None
            assert recorded.decision == decision
        self.unseen.clear()

    @invariant()
    def the_trail_verifies(self) -> None:
        type(self).steps += 1
        report = self.run(self.driver.replicas[0].ledger.verify())
        assert report.ok, report.problems

    @invariant()
    def counters_are_the_references(self) -> None:
        counters = sorted(self.reference.used.keys() | self.reference.reserved.keys())
        expected = {each: (self.reference.used.get(each, 0), self.reference.reserved.get(each, 0)) for each in counters}
        assert self.run(self.driver.usages(counters)) == expected

    @invariant()
    def no_budget_is_beyond_its_limit_unless_a_report_or_people_said_so(self) -> None:
        counters = sorted(self.reference.reserved.keys() - self.reference.may_exceed)
        for counter, (used, reserved) in self.run(self.driver.usages(counters)).items():
            assert used + reserved <= LIMITS[counter[1]]

    @invariant()
    def an_approval_is_used_once(self) -> None:
        allowed = [each.used_approval_id for each in self.run(self._allowed()) if each.used_approval_id]
        assert len(allowed) == len(set(allowed))

    # How

    def _all_state_is_proven(self) -> None:
        report = self.driver.store.verify()
        assert report.state is not None
        assert not report.records or report.problems == ()
        assert (report.state.unproven, report.state.since) == (0, ())

    def _named(self, ask: Ask) -> Ask:
        return replace(ask, key=f"k{next(self.numbers)}") if ask.key == FRESH else ask

    def _one(self, number: int, ask: Ask) -> None:
        self._same(ask, self.run(self.driver.decide(number, [ask])))

    def _at_both(self, ask: Ask) -> None:
        self._same(ask, self.run(self.driver.decide_at_both(ask)))

    def _same(self, ask: Ask, answers: Sequence[Answer]) -> None:
        """One request, sent once or to both replicas at once: one decision, or a deny for each."""
        asked, decision_id, expected = self.reference.earlier(ask, self.now)
        if expected is not None and expected.effect == "error":
            assert all(isinstance(answer, IdempotencyConflictError) for answer in answers)
            return
        decided = [answer for answer in answers if isinstance(answer, Decision)]
        assert len(decided) == len(answers)
        names = {answer.decision_id for answer in decided}
        asking = [answer for answer in decided if answer.effect is Effect.REQUIRE_APPROVAL]
        if 0 < len(asking) < len(decided):  # people have approved the action: its key asked again uses that
            self._same(ask, asking)
            self._same(ask, [answer for answer in answers if answer not in asking])
            return
        if decision_id:
            assert names == {decision_id}
            assert all(answer == self.answered[decision_id][1] for answer in decided)
        elif expected is not None:
            assert len(names - self.answered.keys()) == len(decided)
            for answer in decided:
                self._check_answer(ask, answer, expected)
        else:
            expected = self.reference.judge(asked, self.now)
            [name] = names
            assert all(answer.decision_id == name for answer in decided)
            self._check_answer(asked, decided[0], expected)
            self._recorded(asked, decided[0], expected)
        for answer in decided:
            self._heard(ask, answer)

    def _many(self, number: int, batch: list[Ask]) -> None:
        """The decisions of one batch equal decisions made one after another, in the order of the trail.

        One that is no allow may rest on how things stood before the batch.
        """
        before = [self.reference.judge(ask, self.now) for ask in batch]
        answers = self.run(self.driver.decide(number, batch))
        made = zip(batch, before, self.run(self._in_order(number, batch, answers)), strict=True)
        for ask, earlier, (_, answer) in sorted(made, key=lambda each: each[2][0]):
            expected = self.reference.judge(ask, self.now)
            if answer.effect is not Effect.ALLOW and _differs(answer, expected):
                expected = earlier
            self._check_answer(ask, answer, expected)
            self._recorded(ask, answer, expected)
            self._heard(ask, answer)

    def _check_answer(self, ask: Ask, answer: Decision, expected: Expected) -> None:
        assert answer.effect.value == expected.effect, (answer, expected)
        assert answer.rule_id == min(expected.rules)
        assert answer.used_approval_id == (ask.approval_id if expected.effect == "allow" else "")
        if expected.effect == "require_approval":
            assert answer.approval is not None
            assert answer.approval.quorum == expected.quorum

    def _recorded(self, ask: Ask, answer: Decision, expected: Expected) -> None:
        """An action has one open approval, whatever its idempotency key."""
        self.reference.record(ask, expected, answer.decision_id, self.now)
        if answer.approval is not None:
            assert answer.approval.approval_id == self.reference.waits_for[answer.decision_id]

    def _heard(self, ask: Ask, answer: Decision) -> None:
        if answer.effect is Effect.ALLOW:
            assert not self.reference.stopped_by(ask, self.now)
            assert answer.decision_id not in self.reference.revoked
        self.answered[answer.decision_id] = (ask.tenant, answer)
        self.unseen.append(answer.decision_id)

    async def _in_order(self, number: int, batch: list[Ask], answers: list[Any]) -> list[tuple[int, Decision]]:
        ledger = self.driver.replicas[number].ledger
        found = []
        for ask, answer in zip(batch, answers, strict=True):
            assert isinstance(answer, Decision)
            recorded = await ledger.get_decision(ask.tenant, answer.decision_id)
            found.append((recorded.sequence, answer))
        return found

    def _taken(self, doing: Coroutine[Any, Any, object]) -> bool:
        try:
            self.run(doing)
        except PlacetError:
            return False
        return True

    async def _report(self, number: int, hold: Hold, decision_id: str, reported: ReportedOutcome, caller: str) -> Any:
        outcome = Outcome(
            OutcomeStatus(reported.status), cost_micros=reported.micros, amount_minor_units=reported.cents
        )
        return await self._take(number, OutcomeReport(hold.ask.tenant, decision_id, Caller(caller), outcome))

    async def _take(self, number: int, report: OutcomeReport) -> Any:
        [reply] = await self.driver.replicas[number].outcomes.report([report])
        return reply

    async def _level(self, number: int, tenant: str, tool: str, level: AutonomyLevel) -> None:
        autonomy = self.driver.replicas[number].autonomy
        first = await autonomy.set(self.driver.level(tenant, tool, level, "ada"))
        if first.waiting is not None:
            assert (await autonomy.set(self.driver.level(tenant, tool, level, "bea"))).waiting is None

    async def _keep_house(self, number: int) -> None:
        replica = self.driver.replicas[number]
        await replica.approvals.expire_due()
        await expire_due(replica.ledger, self.driver.clock)
        await purge_idempotency_keys(replica.ledger, self.driver.clock, 24)

    async def _allowed(self) -> list[Decision]:
        found: list[Decision] = []
        for tenant in ("acme", "beta"):
            query = DecisionQuery(tenant=tenant, effect=Effect.ALLOW, page_size=500)
            found += [each.decision for each in (await self.driver.replicas[0].ledger.query_decisions(query)).decisions]
        return found


def _chosen(known: dict[Any, Any], place: int, *, keys: bool = False) -> Any:
    """Return one of the items, chosen by any number."""
    found = list(known if keys else known.values())
    return found[place % len(found)]


def _differs(answer: Decision, expected: Expected) -> bool:
    return answer.effect.value != expected.effect or answer.rule_id != min(expected.rules)


def _month_end(now: int) -> int:
    """Return the time one second before the next month in UTC."""
    moment = datetime.fromtimestamp(now // SECOND, UTC)
    first = (moment.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
    return int(first.timestamp() - 1) * SECOND
