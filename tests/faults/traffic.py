"""Callers that send requests continuously and record the answers."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

from placet.v1 import authorization_pb2, decision_pb2
from tests.faults.serving import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.serving import Server

AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"
CALL_SECONDS_MAX: Final = 20.0
EFFECTS: Final = {
    decision_pb2.EFFECT_ALLOW: "allow",
    decision_pb2.EFFECT_DENY: "deny",
    decision_pb2.EFFECT_REQUIRE_APPROVAL: "require_approval",
}
READ: Final = "jira.search"
WRITE: Final = "jira.create_ticket"
REPLY: Final = "zendesk.reply"
UNLISTED: Final = "mail.send"
RIGHT: Final = {
    READ: ("allow", "tools.listed_read"),
    WRITE: ("require_approval", "approvals.required"),
    REPLY: ("require_approval", "approvals.required"),
    UNLISTED: ("deny", "pdp.unknown_tool"),
}
"""The effect and rule_id of the shipped policies for each tool that the callers request."""
PARAMS: Final = {WRITE: '{"title":"printer on fire"}', REPLY: '{"body":"The printer is on fire."}'}
"""Params that match the closed schemas of the write tools."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered call."""

    tool: str
    effect: str
    rule_id: str
    revision: str
    decision_id: str
    at: float  # monotonic time of the answer
    seconds: float  # that the call took

    @property
    def right(self) -> bool:
        return (self.effect, self.rule_id) == RIGHT[self.tool]


@dataclass(frozen=True, slots=True)
class Failed:
    """One call that failed."""

    code: grpc.StatusCode
    at: float
    seconds: float
    text: str = ""


def proposal(tool: str = READ, key: str = "") -> bytes:
    """Return a serialized request."""
    message = authorization_pb2.AuthorizeRequest(idempotency_key=key or f"{random.getrandbits(64):016x}")
    message.action.tool = tool
    message.action.params_json = PARAMS.get(tool, '{"query":"printer on fire"}')
    message.identity.agent = "triage-agent"
    message.identity.tenant = "acme"
    return message.SerializeToString()


def read_answer(tool: str, answer: bytes, started: float) -> Answered:
    decision = authorization_pb2.AuthorizeResponse.FromString(answer).decision
    now = time.monotonic()
    effect = EFFECTS[decision.effect]
    return Answered(tool, effect, decision.rule_id, decision.policy_revision, decision.decision_id, now, now - started)


def ask(server: Server, tool: str = READ, key: str = "") -> Answered | Failed:
    """Send one request over a new connection."""
    with grpc.insecure_channel(server.address) as channel:
        return _call(channel, tool, key)


def ask_rightly(server: Server) -> bool:
    """Send one request and return whether the answer is the one of the policy."""
    answer = ask(server)
    return isinstance(answer, Answered) and answer.right


class Traffic:
    """The answers and failures of all callers so far."""

    def __init__(self, address: str) -> None:
        self.answered: list[Answered] = []
        self.failed: list[Failed] = []
        self._address = address
        self._ended = threading.Event()

    @property
    def rule_ids(self) -> Counter[str]:
        return Counter(answer.rule_id for answer in list(self.answered))

    @property
    def wrong(self) -> list[Answered]:
        return [answer for answer in list(self.answered) if not answer.right]

    @property
    def codes(self) -> Counter[grpc.StatusCode]:
        return Counter(failure.code for failure in list(self.failed))

    def more(self, count: int, seconds: float = 10.0) -> None:
        """Wait until OPA has decided `count` more calls as the policy says."""
        start = self._by_policy()
        eventually(lambda: self._by_policy() >= start + count, seconds, f"{count} answers")

    def work(self, tools: tuple[str, ...]) -> None:
        with grpc.insecure_channel(self._address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            while not self._ended.is_set():
                for tool in tools:
                    result = _call(channel, tool)
                    if isinstance(result, Answered):
                        self.answered.append(result)
                    else:
                        self.failed.append(result)
                        self._ended.wait(0.005)  # without it, a stopped server causes a million failures

    def _by_policy(self) -> int:
        return sum(answer.right and answer.tool != UNLISTED for answer in list(self.answered))

    def end(self) -> None:
        self._ended.set()


@contextlib.contextmanager
def traffic(server: Server, callers: int = 4, tools: tuple[str, ...] = (READ, WRITE, UNLISTED)) -> Iterator[Traffic]:
    """Run callers for the duration of the block. All calls have ended afterwards."""
    load = Traffic(server.address)
    threads = [threading.Thread(target=load.work, args=(tools,)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.end()
        for thread in threads:
            thread.join(2 * CALL_SECONDS_MAX)


def check_recorded(server: Server, load: Traffic) -> None:
    """Check that the trail has every answer, and verifies."""
    trail = server.decided()
    for answer in load.answered:
        assert trail.get(answer.decision_id) == (answer.effect, answer.rule_id, answer.revision)
    report = server.verify()
    assert report.ok, report.problems


def _call(channel: grpc.Channel, tool: str, key: str = "") -> Answered | Failed:
    started = time.monotonic()
    try:
        return read_answer(
            tool, channel.unary_unary(AUTHORIZE, None, None)(proposal(tool, key), CALL_SECONDS_MAX), started
        )
    except grpc.RpcError as error:
        now = time.monotonic()
        return Failed(error.code(), now, now - started, error.details() or "")
