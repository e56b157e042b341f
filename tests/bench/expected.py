"""What one decision costs, in counts that no other load on the machine changes: allocations, calls and SQL statements.

`python -m tests.bench.expected` prints them beside those recorded in `expected.json`; `--update` records them. The test
`test_expected_costs.py` fails when a count grows by more than ROOM, and when it shrinks by more: record the new one
then, so that the gain cannot be lost again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench import calls_per_action, calls_per_authentication, calls_per_unary, opa_bench
from tests.bench.calls_per_action import BATCH, LIMITED, PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE: Final = Path(__file__).with_name("expected.json")
ROOM: Final = 0.05
"""By how much of the recorded count a count may differ."""
UPDATE: Final = "python -m tests.bench.expected --update"
CASES: Final = ((PLAIN, BATCH), (LIMITED, BATCH), (PLAIN, 1))
"""Tenant and actions of the batches that are counted."""
CALLS: Final = "Python calls"
"""Prefix of the names of such counts."""


def measure() -> dict[str, int]:
    """Return name -> count."""
    counts = {"allocations of `opa bench`, one refund": opa_bench.allocations()}
    for tenant, size in CASES:
        case = f"tenant {tenant}, batch of {size}"
        counts[f"{CALLS} an action, {case}"] = calls_per_action.calls_per_action(tenant, size)
        counts[f"SQL statements on SQLite, {case}"] = calls_per_action.statements_per_batch(tenant, size)
    counts[f"{CALLS} of one Authorize, with all interceptors"] = calls_per_unary.calls_per_unary()
    for user_token in (False, True):
        case = "a verified JWT and a user token" if user_token else "a verified JWT"
        counts[f"{CALLS} of authentication, {case}"] = calls_per_authentication.calls_per_authentication(
            user_token=user_token
        )
    access_token = calls_per_authentication.calls_per_authentication(access_token=True)
    counts[f"{CALLS} of authentication, an access token"] = access_token
    return counts


def differences(recorded: Mapping[str, int], measured: Mapping[str, int]) -> list[str]:
    """Return a line for each count that differs by more than ROOM, or that only one side has."""
    lines = []
    for name in sorted({*recorded, *measured}):
        before, now = recorded.get(name), measured.get(name)
        if before is None or now is None:
            lines.append(f"{name}: {'is not recorded' if before is None else 'is recorded, but no longer counted'}")
        elif abs(now - before) > ROOM * before:
            change = "grew" if now > before else "shrank"
            lines.append(f"{name}: {change} from {before} to {now} ({now / before - 1:+.1%}, room is {ROOM:.0%})")
    return lines


def read() -> tuple[dict[str, int], str]:
    """Return the recorded counts, and the version of Python that counted them."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return content["counts"], content["python"]


def write(counts: Mapping[str, int]) -> None:
    """Record the counts."""
    content = {"python": python_version(), "counts": counts}
    FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def comparable(counts: Mapping[str, int], python: str) -> dict[str, int]:
    """Leave out Python calls unless this version of Python is the one that counted them.

    Another version calls differently: 3.12 has no calls for comprehensions.
    """
    same = python == python_version()
    return {name: count for name, count in counts.items() if same or not name.startswith(CALLS)}


def python_version() -> str:
    """Return the minor version, such as 3.11."""
    return ".".join(platform.python_version_tuple()[:2])


def main(arguments: Sequence[str]) -> int:
    """Print or record the counts. Returns 1 when they differ from the recorded ones."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.expected", description=__doc__)
    parser.add_argument("--update", action="store_true", help=f"record the counts in {FILE.name}")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON only")
    options = parser.parse_args(arguments)
    counts = measure()
    if options.json:
        print(json.dumps(counts))
        return 0
    if options.update:
        write(counts)
    recorded, python = read()
    lines = differences(comparable(recorded, python), comparable(counts, python))
    for name, count in counts.items():
        print(f"{name}: {count} (recorded: {recorded.get(name, 'none')})")
    print("\n".join(lines), end="\n" if lines else "", file=sys.stderr)
    return min(len(lines), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
