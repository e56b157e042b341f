"""Callers that ask without end and note what they were told."""

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
"""What the shipped policies say of each tool that the callers propose."""
PARAMS: Final = {WRITE: '{"title":"printer on fire"}', REPLY: '{"body":"The printer is on fire."}'}
"""As the closed schemas of the tools that write take them."""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: what was told about which tool, when it came and after how many seconds."""

    tool: str
    effect: str
    rule_id: str
    revision: str
    decision_id: str
    at: float
    seconds: float

    @property
    def right(self) -> bool:
        return (self.effect, self.rule_id) == RIGHT[self.tool]


@dataclass(frozen=True, slots=True)
class Failed:
    """One call without an answer."""

    code: grpc.StatusCode
    at: float
    seconds: float
    text: str = ""


def proposal(tool: str = READ, key: str = "") -> bytes:
    """A request as it goes over the wire."""
    message = authorization_pb2.AuthorizeRequest(idempotency_key=key or f"{random.getrandbits(64):016x}")
    message.action.tool = tool
    message.action.params_json = PARAMS.get(tool, '{"query":"printer on fire"}')
    message.identity.agent = "triage-agent"
    message.identity.tenant = "acme"
    return message.SerializeToString()


def told(tool: str, answer: bytes, started: float) -> Told:
    decision = authorization_pb2.AuthorizeResponse.FromString(answer).decision
    now = time.monotonic()
    effect = EFFECTS[decision.effect]
    return Told(tool, effect, decision.rule_id, decision.policy_revision, decision.decision_id, now, now - started)


def ask(server: Server, tool: str = READ, key: str = "") -> Told | Failed:
    """Ask once, over a connection of its own."""
    with grpc.insecure_channel(server.address) as channel:
        return _call(channel, tool, key)


def ask_rightly(server: Server) -> bool:
    """Whether a call is decided as policy says."""
    said = ask(server)
    return isinstance(said, Told) and said.right


class Traffic:
    """What the callers were told so far."""

    def __init__(self, address: str) -> None:
        self.told: list[Told] = []
        self.failed: list[Failed] = []
        self._address = address
        self._ended = threading.Event()

    @property
    def rule_ids(self) -> Counter[str]:
        return Counter(each.rule_id for each in list(self.told))

    @property
    def wrong(self) -> list[Told]:
        return [each for each in list(self.told) if not each.right]

    @property
    def codes(self) -> Counter[grpc.StatusCode]:
        return Counter(each.code for each in list(self.failed))

    def more(self, count: int, seconds: float = 10.0) -> None:
        """Until so many more calls were decided by OPA as policy says."""
        start = self._by_policy()
        eventually(lambda: self._by_policy() >= start + count, seconds, f"{count} answers")

    def work(self, tools: tuple[str, ...]) -> None:
        with grpc.insecure_channel(self._address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            while not self._ended.is_set():
                for tool in tools:
                    said = _call(channel, tool)
                    if isinstance(said, Told):
                        self.told.append(said)
                    else:
                        self.failed.append(said)
                        self._ended.wait(0.005)  # a server that is gone is not asked a million times

    def _by_policy(self) -> int:
        return sum(each.right and each.tool != UNLISTED for each in list(self.told))

    def end(self) -> None:
        self._ended.set()


@contextlib.contextmanager
def traffic(server: Server, callers: int = 4, tools: tuple[str, ...] = (READ, WRITE, UNLISTED)) -> Iterator[Traffic]:
    """Callers at work until the end of the block; every call has ended then."""
    asking = Traffic(server.address)
    threads = [threading.Thread(target=asking.work, args=(tools,)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield asking
    finally:
        asking.end()
        for thread in threads:
            thread.join(2 * CALL_SECONDS_MAX)


def recorded(server: Server, asked: Traffic) -> None:
    """Every answer stands in the trail as it was told, and the trail is whole."""
    trail = server.decided()
    for each in asked.told:
        assert trail.get(each.decision_id) == (each.effect, each.rule_id, each.revision)
    report = server.verify()
    assert report.ok, report.problems


def _call(channel: grpc.Channel, tool: str, key: str = "") -> Told | Failed:
    started = time.monotonic()
    try:
        return told(tool, channel.unary_unary(AUTHORIZE, None, None)(proposal(tool, key), CALL_SECONDS_MAX), started)
    except grpc.RpcError as error:
        now = time.monotonic()
        return Failed(error.code(), now, now - started, error.details() or "")
