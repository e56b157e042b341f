"""What grows: rules, tenants, decisions of one process, and a flood of another tenant."""

from __future__ import annotations

import contextlib
from functools import partial
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from tests.bench import beside_flood, load, many_decisions, policies, programs, raw_load
from tests.bench.lines import Line, Spread, at_most, bounded, measured, plain
from tests.bench.raw_load import Sending
from tests.bench.rounds import take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.load import Amount
    from tests.bench.programs import Server
    from tests.bench.rounds import Case

SIZES: Final = {"more rules": (10, 1_000, 10_000), "tenants": (1, 1_000, 10_000)}
"""What grows -> its sizes, the least first. Rules are added to the shipped ones."""
START_SECONDS_MAX: Final = 300.0
"""A larger policy than one that starts within it is beyond the limit."""
ACTIONS: Final = 100
BATCH_CALLERS: Final = 2
BATCH_SECONDS: Final = 5.0


def policy(folder: Path, amount: Amount, rounds: int) -> Iterator[Line]:
    """Measure p50 with one caller, the start and OPA's memory while rules and tenants grow, all in the same rounds.

    A size with which the server does not start is a line that has not reached its target.
    """
    cases: dict[str, Case] = {}
    with contextlib.ExitStack() as stack:
        for what, grow in (("more rules", policies.with_rules), ("tenants", policies.with_tenants)):
            for size in SIZES[what]:
                name = f"{size:,} {what}"
                tree = grow(folder / name.replace(" ", "-"), size)
                try:
                    server = stack.enter_context(programs.placet(tree, start_seconds_max=START_SECONDS_MAX))
                except RuntimeError as error:
                    yield Line(f"{name}: {error}", Spread.of([0]), "", 0, None, "starts", reached=False)
                    continue
                yield plain(f"{name}: start, which builds and checks the bundle", server.seconds_to_ready, "s")
                yield plain(f"{name}: memory of OPA", server.opa_memory_mib(), "MiB")
                yield plain(f"{name}: memory of the server", server.memory_mib(), "MiB")
                cases[name] = partial(_p50, server.address, amount)
        result = take_turns(cases, rounds)
    for what, sizes in SIZES.items():
        least, *larger = (f"{size:,} {what}" for size in sizes)
        for name in larger:
            if {name, least} <= cases.keys():
                values = result.spread(name, "p50_ms"), result.spread(least, "p50_ms")
                ratio = result.ratio(name, least, "p50_ms")
                yield measured(f"p50 with {name} / with {least}", values[0], "ms", values[1], ratio, "<= 1.2x")


def _p50(address: str, amount: Amount) -> dict[str, float]:
    return {"p50_ms": load.unary(address, 1, amount).p50_ms}


def start_and_memory(folder: Path, decisions: int, many: int) -> Iterator[Line]:
    """Measure a start with a cached bundle, and the memory after a tenth and after all of many decisions.

    `decisions` go through a server and its OPA, `many` through the decision path alone: that takes a tenth of the time.
    """
    data_dir = folder / "data"
    data_dir.mkdir()
    with programs.placet(data_dir=data_dir):
        pass
    with programs.placet(data_dir=data_dir) as server:
        yield at_most("start to ready, warm bundle / 2 s", server.seconds_to_ready, "s", 2.0, 1.0)
        yield plain("memory after the start", server.memory_mib(), "MiB")
        early = _memory_after(server, decisions // 10)
        late = _memory_after(server, decisions - decisions // 10)
    yield bounded(f"memory of the server after {decisions:,} decisions", late[0], "MiB", "<= 120")
    for program, first, last in zip(("the server", "OPA"), early, late, strict=True):
        name = f"memory of {program} after {decisions:,} decisions / after a tenth"
        yield at_most(name, last, "MiB", first, 1.1)
    first, last = many_decisions.memory_mib(many)
    yield at_most(f"memory without OPA and gRPC after {many:,} decisions / after a tenth", last, "MiB", first, 1.1)


def _memory_after(server: Server, decisions: int) -> tuple[float, float]:
    """Let the server decide, in batches, and return its memory and OPA's in MiB."""
    sending = Sending(BATCH_CALLERS, BATCH_SECONDS)
    while decisions > 0:
        decisions -= raw_load.batch(server.address, sending, ACTIONS).calls * ACTIONS
    return server.memory_mib(), server.opa_memory_mib()


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
