from __future__ import annotations

import json
import subprocess
import sys

from tests.bench import expected
from tests.bench.checkouts import HERE_ROOT


def test_a_decision_costs_what_is_recorded() -> None:
    # in a process of its own, whose caches and profile no other test has touched
    command = [sys.executable, "-m", "tests.bench.expected", "--json"]
    completed = subprocess.run(command, cwd=HERE_ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    counts = json.loads(completed.stdout)
    recorded, python = expected.read()
    lines = expected.differences(expected.comparable(recorded, python), expected.comparable(counts, python))
    assert not lines, "\n".join(
        [
            "the cost of a decision differs from tests/bench/expected.json:",
            *lines,
            f"Find the change that causes it. If it is meant, record the new counts: {expected.UPDATE}",
        ]
    )


def test_authentication_costs_at_most_a_tenth_of_a_decision() -> None:
    counts, _ = expected.read()
    decision = counts[f"{expected.CALLS} of one Authorize, with all interceptors"]
    authentication = [count for name, count in counts.items() if f"{expected.CALLS} of authentication" in name]
    assert len(authentication) == 3
    assert max(authentication) <= decision / 10


def test_a_count_may_differ_by_the_room_but_not_by_more() -> None:
    recorded = {"calls": 1_000, "statements": 9}
    assert expected.differences(recorded, {"calls": 1_050, "statements": 9}) == []
    assert expected.differences(recorded, {"calls": 950, "statements": 9}) == []
    assert expected.differences(recorded, {"calls": 1_051, "statements": 10}) == [
        "calls: grew from 1000 to 1051 (+5.1%, room is 5%)",
        "statements: grew from 9 to 10 (+11.1%, room is 5%)",
    ]
    assert expected.differences(recorded, {"calls": 949, "statements": 9}) == [
        "calls: shrank from 1000 to 949 (-5.1%, room is 5%)"
    ]


def test_a_count_on_one_side_only_is_a_difference() -> None:
    assert expected.differences({"calls": 1}, {"statements": 2}) == [
        "calls: is recorded, but no longer counted",
        "statements: is not recorded",
    ]


def test_calls_of_another_python_are_not_compared() -> None:
    counts = {f"{expected.CALLS} an action": 1, "SQL statements": 2}
    assert expected.comparable(counts, expected.python_version()) == counts
    assert expected.comparable(counts, "2.7") == {"SQL statements": 2}
