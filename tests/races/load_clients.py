"""Many callers at once, who ask again until they have an answer, and note what each was told."""

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
"""Of one call with all its tries: the store may be started anew meanwhile."""
PAUSE_SECONDS: Final = 0.02
AGAIN: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
"""No answer: whether it was decided is not known."""
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
class Told:
    """One answer. `sent_at` (of the try that was answered) and `answered_at` are of the monotonic clock, in seconds."""

    ask: Ask
    effect: int
    rule_id: str
    decision_id: str
    approval_id: str
    decided_at_us: int
    sent_at: float
    answered_at: float
    tries: int

    @property
    def allowed(self) -> bool:
        return self.effect == ALLOW


class Caller:
    """Asks at one replica, and at the next one when there is no answer. Belongs to one thread."""

    def __init__(self, addresses: Sequence[str], first: int = 0, try_seconds: float = TRY_SECONDS_MAX) -> None:
        self._try_seconds = try_seconds
        self._channels = [grpc.insecure_channel(address, options=OPTIONS) for address in addresses]
        self._next = first

    def ask(self, ask: Ask, at: int | None = None) -> Told:
        """What is told in the end; `at` is the replica to ask first."""
        raw = ask.to_bytes()
        answer, sent_at, tries = self._call(AUTHORIZE, raw, at)
        decision = authorization_pb2.AuthorizeResponse.FromString(answer).decision
        return Told(
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
        """Tell that a call succeeded."""
        message = authorization_pb2.ReportOutcomeRequest(
            tenant=tenant, decision_id=decision_id, status=authorization_pb2.OUTCOME_STATUS_SUCCEEDED
        )
        self._call(REPORT, message.SerializeToString(), None)

    def _call(self, method: str, raw: bytes, at: int | None) -> tuple[bytes, float, int]:
        """The answer, when it was asked for, and the number of tries."""
        until = time.monotonic() + ANSWER_SECONDS_MAX
        place, tries = self._next if at is None else at, 0
        while True:
            channel = self._channels[place % len(self._channels)]
            sent_at = time.monotonic()
            tries += 1
            try:
                return channel.unary_unary(method, None, None)(raw, timeout=self._try_seconds), sent_at, tries
            except grpc.RpcError as error:
                if error.code() not in AGAIN or time.monotonic() > until:
                    raise
                place = self._next = place + 1
                time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


class LoadClients:
    """Callers, each on a thread and connections of its own, until the end of the block. The first fault is raised."""

    def __init__(
        self,
        addresses: Sequence[str],
        callers: int,
        work: Callable[[Caller, LoadClients], None],
        try_seconds: float = TRY_SECONDS_MAX,
    ) -> None:
        self.told: list[Told] = []
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
    def allowed(self) -> list[Told]:
        return [each for each in list(self.told) if each.allowed]

    def raise_error(self) -> None:
        """Raise what a caller met."""
        if self._errors:
            raise self._errors[0]

    def join(self) -> None:
        """Until all callers are done by themselves."""
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
