"""What grows: rules, tenants, decisions of one process, and a flood of another tenant."""

from __future__ import annotations

from statistics import quantiles
from typing import TYPE_CHECKING

from tests.bench import beside_flood, load, policies, programs
from tests.bench.lines import at_most, plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.lines import Line


def rules_and_tenants(folder: Path, calls: int) -> Iterator[Line]:
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
