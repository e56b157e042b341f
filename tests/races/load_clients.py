"""Concurrent callers that retry until they have a reply, and record all replies."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import grpc

from placet.v1 import authorization_pb2, decision_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.races.tenant import Ask

AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"
REPORT: Final = "/placet.v1.AuthorizationService/ReportOutcome"
TRY_SECONDS_MAX: Final = 15.0
ANSWER_SECONDS_MAX: Final = 60.0
"""Time limit of one call with all its tries: the store may restart during that time."""
PAUSE_SECONDS: Final = 0.02
AGAIN: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
"""Statuses after which the caller does not know whether a decision was made."""
ALLOW: Final = decision_pb2.EFFECT_ALLOW
DENY: Final = decision_pb2.EFFECT_DENY
REQUIRE_APPROVAL: Final = decision_pb2.EFFECT_REQUIRE_APPROVAL
OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request. Times are seconds of the monotonic clock."""

    ask: Ask
    effect: int
    rule_id: str
    decision_id: str
    approval_id: str
    decided_at_us: int
    sent_at: float  # of the try that got the reply
    answered_at: float
    tries: int

    @property
    def allowed(self) -> bool:
        return self.effect == ALLOW


class Caller:
    """Calls one replica, and the next one when there is no reply. Belongs to one thread."""

    def __init__(self, addresses: Sequence[str], first: int = 0, try_seconds: float = TRY_SECONDS_MAX) -> None:
        self.first = first
        self._try_seconds = try_seconds
        self._channels = [grpc.insecure_channel(address, options=OPTIONS) for address in addresses]
        self._next = first

    def ask(self, ask: Ask, at: int | None = None) -> Reply:
        """Authorize and return the reply. `at` is the index of the replica to call first."""
        raw = ask.to_bytes()
        answer, sent_at, tries = self._call(AUTHORIZE, raw, at)
        decision = authorization_pb2.AuthorizeResponse.FromString(answer).decision
        return Reply(
            ask,
            decision.effect,
            decision.rule_id,
            decision.decision_id,
            decision.approval.id,
            decision.decided_at.ToMicroseconds(),
            sent_at,
            time.monotonic(),
            tries,
        )

    def report(self, tenant: str, decision_id: str) -> None:
        """Report that the call succeeded."""
        message = authorization_pb2.ReportOutcomeRequest(
            tenant=tenant, decision_id=decision_id, status=authorization_pb2.OUTCOME_STATUS_SUCCEEDED
        )
        self._call(REPORT, message.SerializeToString(), None)

    def _call(self, method: str, raw: bytes, at: int | None) -> tuple[bytes, float, int]:
        """Return the response, when its try was sent, and the number of tries."""
        until = time.monotonic() + ANSWER_SECONDS_MAX
        index, tries = self._next if at is None else at, 0
        while True:
            channel = self._channels[index % len(self._channels)]
            sent_at = time.monotonic()
            tries += 1
            try:
                return channel.unary_unary(method, None, None)(raw, timeout=self._try_seconds), sent_at, tries
            except grpc.RpcError as error:
                if error.code() not in AGAIN or time.monotonic() > until:
                    raise
                index = self._next = index + 1
                time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


class LoadClients:
    """Callers with their own threads and connections, for the duration of the block. Raises their first error."""

    def __init__(
        self,
        addresses: Sequence[str],
        callers: int,
        work: Callable[[Caller, LoadClients], None],
        try_seconds: float = TRY_SECONDS_MAX,
    ) -> None:
        self.replies: list[Reply] = []
        self.ended = threading.Event()
        self._errors: list[BaseException] = []
        self._begin = threading.Barrier(callers)
        self._threads = [
            threading.Thread(target=self._run, args=(Caller(addresses, number, try_seconds), work))
            for number in range(callers)
        ]

    def _run(self, caller: Caller, work: Callable[[Caller, LoadClients], None]) -> None:
        try:
            self._begin.wait(ANSWER_SECONDS_MAX)
            work(caller, self)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            self._errors.append(error)
            self.ended.set()
        finally:
            caller.close()

    @property
    def allowed(self) -> list[Reply]:
        return [reply for reply in list(self.replies) if reply.allowed]

    def raise_error(self) -> None:
        """Raise the first error of a caller."""
        if self._errors:
            raise self._errors[0]

    def join(self) -> None:
        """Wait until all callers have finished."""
        for thread in self._threads:
            thread.join()
        self.raise_error()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()
