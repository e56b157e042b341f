"""Measure the cost of Placet as ratios to floors of the same run.

`make bench` runs the parts of DEFAULT; `make bench-peers` and `make bench-growth` run the others.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from tests.bench import beside_costly, beside_reload, cores, fast_path, floors, growth, push, report, state
from tests.bench.checkouts import HERE, other
from tests.bench.lines import plain
from tests.bench.load import Amount
from tests.bench.peers import comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.checkouts import Checkout
    from tests.bench.lines import Line

MEMORY_DECISIONS: Final = 200_000
MANY_DECISIONS: Final = 1_000_000
TABLE_WIDTH: Final = 160


@dataclass(frozen=True)
class Plan:
    """What to measure, and for how long."""

    checkouts: Sequence[Checkout]  # this one first
    rounds: int
    seconds: float  # of one case in one round
    scale: int  # divisor of fixed numbers of calls

    @property
    def amount(self) -> Amount:
        """The load of one case in one round."""
        return Amount(seconds=self.seconds)


def floors_below(folder: Path) -> Iterator[Line]:
    """Measure OPA and SQLite without Placet."""
    for size in (1, 16, 64):
        yield plain(f"OPA alone, batch of {size}, per decision", floors.opa_ms(folder, size, 300) / size, "ms")
    yield plain("SQLite alone, one durable commit", floors.sqlite_commit_ms(folder, 300), "ms")


PARTS: Final[dict[str, Callable[[Path, Plan], Iterator[Line]]]] = {
    "calls": lambda folder, plan: fast_path.calls(folder, plan.checkouts, plan.amount, plan.rounds),
    "workers": lambda folder, plan: cores.workers(folder, plan.checkouts, plan.seconds, plan.rounds),
    "opa": lambda folder, plan: fast_path.opa(folder, plan.checkouts, plan.rounds),
    "floors": lambda folder, _: floors_below(folder),
    "beside": lambda folder, plan: beside_costly.beside(folder, plan.seconds, plan.rounds),
    "reload": lambda folder, plan: beside_reload.reload(folder, plan.seconds, plan.rounds),
    "push": lambda folder, plan: push.push(folder, plan.rounds),
    "flood": lambda _, plan: growth.flood(20 / plan.scale + 5),
    "peers": lambda folder, plan: comparison.peers(folder, plan.checkouts, plan.amount, plan.rounds),
    "growth": lambda folder, plan: growth.policy(folder, plan.amount, plan.rounds),
    "limits": lambda folder, plan: state.limits(folder, 6_000 // plan.scale),
    "full": lambda folder, plan: state.full(
        folder, 1_000_000 // plan.scale, 100_000 // plan.scale, 1_000 // plan.scale
    ),
    "memory": lambda folder, plan: growth.start_and_memory(
        folder, MEMORY_DECISIONS // plan.scale, MANY_DECISIONS // plan.scale
    ),
}
"""Name -> part of the benchmark. Its folder is empty."""
DEFAULT: Final = ("calls", "workers", "opa", "floors", "flood", "beside")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark: print the table and write the JSON."""
    options = _parser().parse_args(arguments)
    checkouts = [HERE, *([options.against] if options.against else [])]
    quick = options.quick
    plan = Plan(checkouts, options.rounds, 0.5 if quick else options.seconds, 10 if quick else 1)
    title = report.machine()
    lines: list[Line] = []
    try:
        for line in _measure(options.only or DEFAULT, plan):
            print(f"  {report.one_line(line)}", file=sys.stderr, flush=True)
            lines.append(line)
    finally:  # also what was measured before a part failed
        report.write_json(options.output, title, lines)
        Console(width=TABLE_WIDTH).print(report.table(lines, checkouts, title))
    return 0


def _measure(parts: Sequence[str], plan: Plan) -> Iterator[Line]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as name:
        for part in parts:
            folder = Path(name, part)
            folder.mkdir()
            yield from PARTS[part](folder, plan)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fraction of the calls: to test the benchmark itself")
    parser.add_argument("--output", type=Path, default=Path(".cache/bench.json"), help="path of the JSON file")
    parser.add_argument(
        "--only", choices=PARTS, nargs="+", metavar="PART", help=f"run these parts only: {', '.join(PARTS)}"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often the compared cases take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="load of one case in one round")
    parser.add_argument(
        "--against", type=_checkout, metavar="FOLDER", help="another checkout of Placet, measured in the same rounds"
    )
    return parser


def _checkout(text: str) -> Checkout:
    try:
        return other(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
