"""Answers to wrong credentials are delayed beyond a few in a minute, and nothing grows without a bound."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from placet.identity.model import Grant, Principal, Role
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.limits import MESSAGE_BYTES_MAX
from placet.kernel.model import Caller
from placet.transport.grpc.interceptors import guessing
from placet.transport.grpc.interceptors.guessing import GuessDelay
from tests.serving import settings
from tests.transport.authenticated import NamedPrincipals, as_caller, serving_to
from tests.transport.wire import AUTHORIZE, refusal_of

if TYPE_CHECKING:
    from pathlib import Path

WRONG, EXPIRED = (UnauthenticatedError(f"CREDENTIAL_{what}", "no") for what in ("INVALID", "EXPIRED"))
SLOW_SECONDS = 0.4


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FREE_PER_MINUTE", 3), ("DELAYED_MAX", 2)):
        monkeypatch.setattr(guessing, f"GUESSES_{name}", value)
    monkeypatch.setattr(guessing, "GUESSING_HOSTS_MAX", 5)


async def seconds(delay: GuessDelay, peer: str = "ipv4:10.0.0.1:5", error: UnauthenticatedError = WRONG) -> float:
    began = time.monotonic()
    await delay.after(error, peer)
    return time.monotonic() - began


async def test_a_few_wrong_ones_are_answered_at_once_and_more_are_delayed() -> None:
    delay = GuessDelay()
    assert max([await seconds(delay, f"ipv4:10.0.0.1:{port}") for port in range(3)]) < SLOW_SECONDS
    assert await seconds(delay, "ipv4:10.0.0.1:99") > SLOW_SECONDS
    assert await seconds(delay, "ipv4:10.0.0.2:5") < SLOW_SECONDS


async def test_expired_credentials_are_no_guesses() -> None:
    delay = GuessDelay()
    assert max([await seconds(delay, error=EXPIRED) for _ in range(9)]) < SLOW_SECONDS


async def test_a_minute_later_they_are_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "_MINUTE_SECONDS", 0.0)
    delay = GuessDelay()
    assert max([await seconds(delay) for _ in range(9)]) < SLOW_SECONDS


async def test_few_answers_wait_at_once_and_few_hosts_are_counted() -> None:
    delay = GuessDelay()
    for _ in range(3):
        await seconds(delay)
    waits = await asyncio.gather(*(seconds(delay) for _ in range(9)))
    assert sum(wait > SLOW_SECONDS for wait in waits) == 2
    assert await seconds(delay) > SLOW_SECONDS
    for host in range(50):
        await seconds(delay, f"ipv4:10.1.0.{host}:5")
    assert len(delay._counts) == 5


def test_calls_that_wait_hold_no_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers without a credential would otherwise fill REQUEST_BYTES_HELD_MAX with calls that wait."""
    monkeypatch.setattr(guessing, "GUESSES_FREE_PER_MINUTE", 0)
    monkeypatch.setattr(guessing, "GUESSES_DELAYED_MAX", 100)
    monkeypatch.setattr(guessing, "GUESS_DELAY_MS", 10_000)
    large = bytes(MESSAGE_BYTES_MAX - 1_000)
    runtime = Principal(Caller("runtime", method="token"), (Grant(Role.AGENT_RUNTIME, frozenset({"acme"}), ("*",)),))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving_to(NamedPrincipals({"runtime": runtime}), settings(tmp_path)))
        channels = [
            stack.enter_context(grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]))
            for _ in range(3)
        ]
        calls = [channel.unary_unary(AUTHORIZE, None, None) for channel in channels]
        waiting = [call.future(large, metadata=as_caller("guess"), timeout=30) for call in calls[1:] for _ in range(3)]
        time.sleep(2)
        with pytest.raises(grpc.RpcError) as error:
            calls[0](large, metadata=as_caller("runtime"), timeout=30)
        assert refusal_of(error.value).code is grpc.StatusCode.INVALID_ARGUMENT
        assert not any(call.done() for call in waiting)
        for call in waiting:
            call.cancel()  # type: ignore[no-untyped-call] # gRPC's stubs do not type it
