"""A key may send a burst of one second's requests, and then as many in each second."""

from __future__ import annotations

import pytest

from placet.scheduling import rate_limit
from placet.scheduling.rate_limit import RateLimit


class Time:
    """A clock that tests set."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("per_second", [1, 3, 7, 1_000])
def test_a_burst_and_then_the_rate(per_second: int) -> None:
    time = Time()
    limit = RateLimit(per_second, time)
    taken = [limit.take("a") for _ in range(per_second + 1)]
    assert taken[:-1] == [0.0] * per_second
    assert taken[-1] == pytest.approx(1 / per_second)
    time.now += taken[-1]
    assert limit.take("a") == 0.0
    assert limit.take("a") > 0
    time.now += 10
    assert [limit.take("a") for _ in range(per_second)] == [0.0] * per_second
    assert limit.take("a") > 0


def test_a_refused_request_is_not_counted() -> None:
    time = Time()
    limit = RateLimit(2, time)
    waits = [limit.take("a") for _ in range(50)]
    assert waits[2:] == [pytest.approx(0.5)] * 48


def test_several_at_once() -> None:
    time = Time()
    limit = RateLimit(4, time)
    assert limit.take("a", 4) == 0.0
    assert limit.take("a", 2) == pytest.approx(0.5)
    time.now += 0.5
    assert limit.take("a", 3) == pytest.approx(0.25)
    assert limit.take("a", 2) == 0.0
    assert limit.take("a") == pytest.approx(0.25)
    assert limit.take("b", 5) == pytest.approx(0.25), "there is never room for more than a burst"
    assert limit.take("b", 4) == 0.0


def test_keys_have_separate_buckets() -> None:
    limit = RateLimit(1, Time())
    assert [limit.take("a"), limit.take("b")] == [0.0, 0.0]
    assert limit.take("a") > 0


def test_the_keys_of_the_latest_requests_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "KEYS_MAX", 2)
    limit = RateLimit(2, Time())
    assert [limit.take(key) for key in ("a", "b", "a", "c")] == [0.0] * 4
    assert limit.take("a") > 0
    assert [limit.take("b"), limit.take("b")] == [0.0, 0.0]
