"""Several worker processes beside one, with the load on a CPU that it shares with no other load."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.bench import programs, raw_load
from tests.bench.lines import measured
from tests.bench.raw_load import Sending
from tests.bench.rounds import take_turns
from tests.bench.state import CALLERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.bench.checkouts import Checkout
    from tests.bench.lines import Line
    from tests.bench.rounds import Case

MANY_CORES: Final = 4
"""From so many cores on, four workers are measured instead of two."""
TARGETS: Final = {2: ">= 1x", 4: ">= 3.2x"}
"""Workers -> the required ratio: no slower on two cores, else 0.8 for each core."""


def workers(folder: Path, checkouts: Sequence[Checkout], seconds: float, rounds: int) -> Iterator[Line]:
    """Compare many workers with one. Callers use a connection each, which the kernel spreads over the workers.

    loadgen is pinned to the last CPU; servers and OPA run where they like.
    """
    cores = sorted(os.sched_getaffinity(0))
    many = 4 if len(cores) >= MANY_CORES else 2
    sending = Sending(CALLERS, seconds, CALLERS, cores[-1:])
    for checkout in (checkout for checkout in checkouts if checkout.has_workers):
        with contextlib.ExitStack() as stack:
            cases: dict[str, Case] = {}
            for count in (1, many):
                data_dir = folder / f"{checkout.name}-{count}"
                data_dir.mkdir()
                more = ["--workers", str(count)]
                server = stack.enter_context(programs.placet(data_dir=data_dir, checkout=checkout, more=more))
                cases[str(count)] = partial(_per_second, server.address, sending)
            result = take_turns(cases, rounds)
        values = [result.spread(case, "per_second") for case in (str(many), "1")]
        name = f"{many} workers / 1, 32 callers, load pinned to one CPU"
        ratio = result.ratio(str(many), "1", "per_second")
        yield measured(name, values[0], "calls/s", values[1], ratio, TARGETS[many]).of(checkout.name)


def _per_second(address: str, sending: Sending) -> dict[str, float]:
    return {"per_second": raw_load.unary(address, sending).per_second}
