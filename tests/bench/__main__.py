"""`make bench`: the cost of Placet, as ratios to floors that are measured in the same run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tests.bench import beside_flood, floors, load, policies, programs, state
from tests.bench.lines import at_least, at_most, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.lines import Line

MEMORY_DECISIONS = 100_000


def unary_and_batch(calls: int) -> Iterator[Line]:
    """Compare latency and throughput with the empty handler, which takes turns with the server."""
    with programs.empty_server() as empty, programs.placet() as server:
        for address in (empty, server.address):
            load.unary(address, 32, calls // 4)
        floor_one, one = load.unary(empty, 1, calls // 8), load.unary(server.address, 1, calls // 8)
        floor_many, many = load.unary(empty, 32, calls), load.unary(server.address, 32, calls)
        batched = load.batch(server.address, 2, max(calls // 400, 8), 100)
        yield plain("empty handler, 32 callers", floor_many.per_second, "calls/s")
        yield at_least(
            "throughput at 32 callers / empty handler", many.per_second, "calls/s", floor_many.per_second, 0.5
        )
        yield at_most("p50 at 1 caller / empty handler", one.p50_ms, "ms", floor_one.p50_ms, 3.0)
        yield at_most("p99 at 32 callers / its own p50", many.p99_ms, "ms", many.p50_ms, 3.0)
        yield at_least("batch of 100 / unary", batched.per_second * 100, "actions/s", many.per_second, 4.0)
        yield plain("p50 at 32 callers", many.p50_ms, "ms")


def floors_below(folder: Path) -> Iterator[Line]:
    """Measure OPA and SQLite without Placet."""
    for size in (1, 16, 64):
        yield plain(f"OPA alone, batch of {size}, per decision", floors.opa_ms(folder, size, 300) / size, "ms")
    yield plain("SQLite alone, one durable commit", floors.sqlite_commit_ms(folder, 300), "ms")


def growth(folder: Path, calls: int) -> Iterator[Line]:
    """Measure p50 with one caller while rules and tenants grow."""
    few = _p50(policies.with_rules(folder / "r10", 10), calls)
    for count in (1_000, 10_000):
        value = _p50(policies.with_rules(folder / f"r{count}", count), calls)
        yield at_most(f"p50 with {count} more rules / with 10", value, "ms", few, 1.2)
    one = _p50(policies.with_tenants(folder / "t1", 1), calls)
    many = _p50(policies.with_tenants(folder / "t1000", 1_000), calls)
    yield at_most("p50 with 1,000 tenants / with 1", many, "ms", one, 1.2)


def _p50(rego_dir: Path, calls: int) -> float:
    with programs.placet(rego_dir) as server:
        load.unary(server.address, 1, calls // 4)
        return load.unary(server.address, 1, calls).p50_ms


def start_and_memory(folder: Path, decisions: int) -> Iterator[Line]:
    """Measure a start with a cached bundle, and memory after many decisions."""
    data_dir = folder / "data"
    data_dir.mkdir()
    with programs.placet(data_dir=data_dir):
        pass
    with programs.placet(data_dir=data_dir) as server:
        yield at_most("start to ready, warm bundle / 2 s", server.seconds_to_ready, "s", 2.0, 1.0)
        load.unary(server.address, 32, decisions // 10)
        early = server.memory_mib()
        load.unary(server.address, 32, decisions - decisions // 10)
        late = server.memory_mib()
        yield at_most(f"memory after {decisions} decisions / 120 MiB", late, "MiB", 120.0, 1.0)
        yield at_most(f"memory after {decisions} decisions / after a tenth", late, "MiB", early, 1.1)


def flood(seconds: float) -> Iterator[Line]:
    """Measure single reads of one tenant while another sends batches of 6 MB without pause."""
    for connections in (5, 40):
        with programs.placet() as server, beside_flood.flooded(server.address, connections, 2 * seconds):
            took, missed = beside_flood.reads(server.address, seconds)
        cuts = quantiles(took, n=100, method="inclusive")
        beside = f"single reads beside {connections} x 6 MB"
        yield plain(f"{beside}, p50", cuts[49], "ms")
        yield plain(f"{beside}, p99", cuts[98], "ms")
        yield at_most(f"{beside} that miss their 3 s", missed, "calls", 1.0, 0.0)


PARTS: Final[dict[str, Callable[[Path, int], Iterator[Line]]]] = {
    "floors": lambda folder, _: floors_below(folder),
    "calls": lambda _, scale: unary_and_batch(16_000 // scale),
    "flood": lambda _, scale: flood(20 / scale + 5),
    "growth": lambda folder, scale: growth(folder, 2_000 // scale),
    "limits": lambda folder, scale: state.limits(folder, 6_000 // scale),
    "full": lambda folder, scale: state.full(folder, 1_000_000 // scale, 100_000 // scale, 1_000 // scale),
    "memory": lambda folder, scale: start_and_memory(folder, MEMORY_DECISIONS // scale),
}
"""Name -> part of the benchmark. Its arguments are an empty folder and the divisor of the number of calls."""


def main() -> int:
    """Run the benchmark: print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls: to test the benchmark itself")
    parser.add_argument("--output", type=Path, default=Path(".cache/bench.json"), help="path of the JSON file")
    parser.add_argument("--only", choices=PARTS, help="run one part only")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as name:
        for part in [options.only] if options.only else PARTS:
            folder = Path(name, part)
            folder.mkdir()
            for line in PARTS[part](folder, scale):
                print(f"  {line.name}: {line.value:.3f} {line.unit} ({line.ratio:.2f}x)", file=sys.stderr, flush=True)
                lines.append(line)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load by ghz on the same machine"
    table = Table("figure", "value", "ratio", "target", "reached", title=machine)
    for line in lines:
        reached = {None: "", True: "yes", False: "NO"}[line.reached]
        table.add_row(line.name, f"{line.value:.3f} {line.unit}", f"{line.ratio:.2f}", line.target, reached)
    Console(width=120).print(table)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"machine": machine, "lines": [asdict(line) for line in lines]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
