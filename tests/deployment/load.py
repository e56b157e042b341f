"""A steady load through the load balancer. Each request is repeated under its key until it is answered."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from placet.sdk import Action, CallFailedError, Client, Decision, Identity, failures, tls_credentials
from tests.faults.serving import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Result = TypeVar("Result")
CALLERS: Final = 3
PAUSE_SECONDS: Final = 0.01
CALL_SECONDS: Final = 10.0
ANSWER_SECONDS_MAX: Final = 120.0
TENANT: Final = "shop"
AGENT: Final = Identity(agent="shop-1", tenant=TENANT, user="u_1")

READ: Final = Action("orders.read", {"order": 1})
TICKET: Final = Action("tickets.create", {"title": "printer on fire"})
COUPON: Final = Action("coupons.issue", {"title": "sorry"})
LETTER: Final = Action("letters.send", {"title": "we are sorry"})
UNLISTED: Final = Action("mail.send", {"title": "hello"})
NEW: Final = Action("orders.search", {"query": "printer"})
"""A tool that only the second policy lists."""
ACTIONS: Final = (READ, TICKET, COUPON, LETTER, UNLISTED, NEW)
COUPONS_MAX: Final = 40
ALLOW, DENY, APPROVAL = "allow", "deny", "require_approval"
RIGHT: Final[Mapping[str, set[tuple[str, str]]]] = {
    READ.tool: {(ALLOW, "tools.listed_read")},
    TICKET.tool: {(ALLOW, "tools.listed_write")},
    COUPON.tool: {(ALLOW, "tools.listed_write"), (DENY, "budgets.coupons")},
    LETTER.tool: {(APPROVAL, "approvals.required")},
    UNLISTED.tool: {(DENY, "pdp.unknown_tool")},
    NEW.tool: {(DENY, "pdp.unknown_tool")},
}
"""The right answers of the first policy. Those of the second differ for NEW alone."""
RIGHT_LATER: Final = {**RIGHT, NEW.tool: {(ALLOW, "tools.listed_read")}}
BUDGETS: Final = {TICKET.tool: "tickets", COUPON.tool: "coupons"}
"""Tools that a budget counts, and the budget."""
PASSING: Final = {failures.UNAVAILABLE, failures.TIMEOUT}
"""Failures of calls that a fault may cause. The caller repeats the call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision about one action, and how often the call failed before it."""

    tool: str
    decision: Decision

    @property
    def said(self) -> tuple[str, str]:
        return self.decision.effect.value, self.decision.rule_id

    @property
    def failed_closed(self) -> bool:
        """A deny for a reason of Placet itself, such as an engine that does not answer."""
        effect, rule_id = self.said
        return effect == DENY and rule_id.startswith("pdp.") and not rule_id.startswith("pdp.client_")


class Load:
    """What all callers were answered, and which calls failed."""

    def __init__(self, connect: Callable[[], Client], right: Mapping[str, Mapping[str, set[tuple[str, str]]]]) -> None:
        self.answers: list[Answer] = []
        self.failed: Counter[str] = Counter()
        self.reported: set[str] = set()
        self.broken: list[str] = []
        self.right = right
        """Right answers by policy revision and tool."""
        self._connect = connect
        self._ended = threading.Event()

    def is_right(self, answer: Answer) -> bool:
        return answer.said in self.right.get(answer.decision.policy_revision, {}).get(answer.tool, set())

    @property
    def wrong(self) -> list[Answer]:
        """Answers that are neither right by their policy nor a deny because Placet could not decide."""
        return [each for each in list(self.answers) if not (self.is_right(each) or each.failed_closed)]

    def more(self, count: int, seconds: float = ANSWER_SECONDS_MAX) -> None:
        """Wait for so many more right answers."""
        before = len(self.answers)
        eventually(
            lambda: sum(map(self.is_right, self.answers[before:])) >= count or self.broken,
            seconds,
            f"{count} right answers",
        )
        assert not self.broken, self.broken

    def work(self) -> None:
        try:
            with self._connect() as client:
                while not self._ended.is_set():
                    for action in ACTIONS:
                        self._ask(client, action)
                        time.sleep(PAUSE_SECONDS)
        except BaseException as error:
            self.broken.append(repr(error))
            raise

    def end(self) -> None:
        self._ended.set()

    def _ask(self, client: Client, action: Action) -> None:
        key = uuid.uuid4().hex
        decision = self._until_done(lambda: client.authorize(action, AGENT, idempotency_key=key))
        self.answers.append(Answer(action.tool, decision))
        if decision.allowed and action is TICKET:
            self._until_done(lambda: client.report_outcome(decision, "succeeded"))
            self.reported.add(decision.decision_id)

    def _until_done(self, call: Callable[[], Result]) -> Result:
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while True:
            try:
                return call()
            except CallFailedError as error:
                if error.failure.rule_id not in PASSING or time.monotonic() > deadline:
                    raise
                self.failed[error.failure.rule_id] += 1
                time.sleep(5 * PAUSE_SECONDS)


def connection(address: str, ca: Path, token: str) -> Client:
    """Return a client that raises where it has no decision."""
    return Client(address, timeout=CALL_SECONDS, on_failure="raise", credentials=tls_credentials(str(ca)), token=token)


@contextlib.contextmanager
def running(load: Load) -> Iterator[Load]:
    """Run callers for the duration of the block. Each call is answered afterwards."""
    threads = [threading.Thread(target=load.work, name=f"caller-{number}") for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        load.more(len(ACTIONS) * CALLERS)
        yield load
    finally:
        load.end()
        for thread in threads:
            thread.join(ANSWER_SECONDS_MAX)
