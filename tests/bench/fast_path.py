"""The cost of a decision beside an empty handler, of all checkouts in the same rounds."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.bench import load, opa_query, policies, programs, raw_load
from tests.bench.lines import Spread, bounded, measured, plain
from tests.bench.raw_load import Sending
from tests.bench.rounds import take_turns
from tests.bench.state import CALLERS, request_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.bench.checkouts import Checkout
    from tests.bench.lines import Line
    from tests.bench.load import Amount, Load
    from tests.bench.opa_query import Query
    from tests.bench.programs import Server
    from tests.bench.rounds import Case, Rounds

ACTIONS: Final = 100
"""Actions of one AuthorizeBatch."""
BATCH_CALLERS: Final = 2


def calls(folder: Path, checkouts: Sequence[Checkout], amount: Amount, rounds: int) -> Iterator[Line]:
    """Compare unary calls with the empty handler, batches with unary calls, and limits with none."""
    with contextlib.ExitStack() as stack:
        empty = stack.enter_context(programs.empty_server())
        cases: dict[str, Case] = {
            "empty, many": partial(_unary, empty, CALLERS, amount),
            "empty, one": partial(_unary, empty, 1, amount),
        }
        for checkout in checkouts:
            rego = policies.with_limits(folder / checkout.name, checkout)
            server = stack.enter_context(programs.placet(rego, checkout=checkout))
            cases |= {f"{checkout.name}: {name}": case for name, case in _cases(checkout, server, amount).items()}
        result = take_turns(cases, rounds)
    yield plain("empty handler, 32 callers", result.spread("empty, many", "per_second"), "calls/s")
    yield plain("empty handler, p50 at 1 caller", result.spread("empty, one", "p50_ms"), "ms")
    for checkout in checkouts:
        yield from (line.of(checkout.name) for line in _lines(result, checkout.name))


def opa(folder: Path, checkouts: Sequence[Checkout], rounds: int) -> Iterator[Line]:
    """Measure OPA's work for the shipped refund: allocations, which are exact, and the least time."""
    cases: dict[str, Case] = {}
    for checkout in checkouts:
        (folder / checkout.name).mkdir()
        cases[checkout.name] = partial(_opa_bench, opa_query.record(folder / checkout.name, checkout))
    result = take_turns(cases, rounds)
    for checkout in checkouts:
        allocations, us = (result.spread(checkout.name, measure) for measure in ("allocations", "us"))
        lines = [
            bounded("`opa bench` of one refund: allocations", allocations.low, "", "<= 800"),
            bounded("`opa bench` of one refund: least time", us.low, "us", "<= 95"),
        ]
        yield from (line.of(checkout.name) for line in lines)


def _opa_bench(query: Query) -> dict[str, float]:
    return asdict(opa_query.repeat(query))


def _cases(checkout: Checkout, server: Server, amount: Amount) -> dict[str, Case]:
    cases: dict[str, Case] = {
        "many": partial(_unary, server.address, CALLERS, amount),
        "one": partial(_unary, server.address, 1, amount),
        "none": partial(_unary, server.address, CALLERS, amount, "acme"),
        "limits": partial(_unary, server.address, CALLERS, amount, "limited"),
        "raw": partial(_raw, raw_load.unary, server.address, Sending(CALLERS, amount.seconds)),
        "batch": partial(_batch, server, Sending(BATCH_CALLERS, amount.seconds)),
    }
    if checkout.streams:
        cases["stream"] = partial(_raw, raw_load.stream, server.address, Sending(CALLERS, amount.seconds))
    return cases


def _lines(result: Rounds, checkout: str) -> Iterator[Line]:
    many, one, raw, batch = (f"{checkout}: {case}" for case in ("many", "one", "raw", "batch"))
    none, limits, stream = (f"{checkout}: {case}" for case in ("none", "limits", "stream"))

    def compared(name: str, unit: str, case: str, floor: str, measure: str, target: str) -> Line:
        value, floor_value = result.spread(case, measure), result.spread(floor, measure)
        return measured(name, value, unit, floor_value, result.ratio(case, floor, measure), target)

    yield compared("unary, 32 callers / empty handler", "calls/s", many, "empty, many", "per_second", ">= 0.45x")
    yield compared("p50 at 1 caller / empty handler", "ms", one, "empty, one", "p50_ms", "<= 3.5x")
    yield compared("batch of 100 / unary, 32 callers", "actions/s", batch, raw, "per_second", ">= 4x")
    if stream in result.results[0]:
        yield compared("AuthorizeStream, 32 in flight / unary, 32 callers", "calls/s", stream, raw, "per_second", "")
    yield compared("6 budgets, a run's limit / none", "calls/s", limits, none, "per_second", ">= 0.85x")
    yield bounded("server's CPU of an action in a batch", result.spread(batch, "own_cpu_us"), "us", "<= 150")
    p99 = [case[many]["p99_ms"] / case[many]["p50_ms"] for case in result.results]
    p50s = result.spread(many, "p50_ms")
    yield measured(
        "p99 at 32 callers / its own p50", result.spread(many, "p99_ms"), "ms", p50s, Spread.of(p99), "<= 3x"
    )


def _unary(address: str, callers: int, amount: Amount, tenant: str = "") -> dict[str, float]:
    """Send unary calls: those of `tenant` come from many users and runs, without it all calls are alike."""
    return _measures(load.unary(address, callers, amount, request_of(tenant) if tenant else None))


def _raw(send: Callable[[str, Sending], Load], address: str, sending: Sending) -> dict[str, float]:
    return _measures(send(address, sending))


def _batch(server: Server, sending: Sending) -> dict[str, float]:
    """Send batches. Returns actions a second, and the server's own CPU time of an action."""
    before = server.own_cpu_seconds()
    result = raw_load.batch(server.address, sending, ACTIONS)
    spent = server.own_cpu_seconds() - before
    return {"per_second": result.per_second * ACTIONS, "own_cpu_us": spent / (result.calls * ACTIONS) * 1e6}


def _measures(result: Load) -> dict[str, float]:
    return {"per_second": result.per_second, "p50_ms": result.p50_ms, "p99_ms": result.p99_ms}
