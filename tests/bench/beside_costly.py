"""Cheap calls of one tenant beside slow calls, or beside the flood, of another tenant."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.bench import beside_flood, policies, programs, raw_load
from tests.bench.lines import measured, plain
from tests.bench.raw_load import Sending
from tests.bench.rounds import take_turns
from tests.faults.repeating import Caller, add_quadratic_pack, costly_params, run_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.bench.lines import Line

CALLERS: Final = 8
COSTLY_CALLERS: Final = 2
ENDLESS_ITEMS: Final = 3_000
"""Items that take longer than OPA_TIMEOUT_MS to compare, on any machine."""
FLOOD_FACTOR: Final = 10
"""Callers of the flood for each of CALLERS."""
NEIGHBOUR: Final = "neighbour"
TARGET: Final = "<= 2.0x"


def beside(folder: Path, seconds: float, rounds: int) -> Iterator[Line]:
    """Compare p99 of CALLERS alone, beside COSTLY_CALLERS of another tenant, and beside its flood, in turns.

    Raises RuntimeError when one of the cheap calls is refused or denied.
    """
    tree = policies.with_neighbour(folder, NEIGHBOUR)
    add_quadratic_pack(tree)
    with programs.placet(tree) as server:
        costly = [
            Caller(server.address, NEIGHBOUR, "kb.search", costly_params(ENDLESS_ITEMS)) for _ in range(COSTLY_CALLERS)
        ]
        flood = FLOOD_FACTOR * CALLERS

        def alone() -> AbstractContextManager[None]:
            return contextlib.nullcontext()

        def flooded() -> AbstractContextManager[None]:
            request = beside_flood.request(NEIGHBOUR, "kb.search", {"a": "x"})
            request.idempotency_key = raw_load.KEY
            return raw_load.flood(server.address, Sending(flood, 4 * seconds, connections=flood), request)

        cases: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "alone": alone,
            f"beside {COSTLY_CALLERS} slow callers": lambda: _calling(costly, seconds),
            f"beside a flood of {flood} callers": flooded,
        }
        measure = partial(_p99, server.address, seconds)
        result = take_turns({name: partial(measure, around) for name, around in cases.items()}, rounds)
        yield plain(f"p99 of {CALLERS} callers alone", result.spread("alone", "p99_ms"), "ms")
        for name in list(cases)[1:]:
            p99, floor = result.spread(name, "p99_ms"), result.spread("alone", "p99_ms")
            ratio = result.ratio(name, "alone", "p99_ms")
            yield measured(f"p99 of {CALLERS} callers {name} / alone", p99, "ms", floor, ratio, TARGET)
        ended = {rule_id for caller in costly for rule_id in caller.rule_ids}
        yield plain(f"slow calls that were answered, all by {', '.join(sorted(ended))}", _answers(costly), "calls")


def _p99(address: str, seconds: float, around: Callable[[], AbstractContextManager[None]]) -> dict[str, float]:
    with around():
        return {"p99_ms": raw_load.unary(address, Sending(CALLERS, seconds, connections=CALLERS)).p99_ms}


@contextlib.contextmanager
def _calling(callers: list[Caller], seconds: float) -> Iterator[None]:
    """Let the callers call during the block, and for `seconds` at least."""
    thread = threading.Thread(target=run_together, args=(callers, seconds))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _answers(callers: list[Caller]) -> float:
    return float(sum(len(caller.rule_ids) for caller in callers))
