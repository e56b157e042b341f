"""Answers to wrong credentials are delayed beyond a few in a minute, and nothing grows without a bound."""

from __future__ import annotations

import asyncio
import time

import pytest

from placet.kernel.errors import UnauthenticatedError
from placet.transport.grpc.interceptors import guessing
from placet.transport.grpc.interceptors.guessing import GuessDelay

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
