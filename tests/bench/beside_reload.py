"""Single reads of one tenant while the policy of many tenants is changed and reloaded again and again."""

from __future__ import annotations

import contextlib
import threading
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from tests.bench import beside_flood, policies, programs
from tests.bench.lines import Spread, measured, plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.lines import Line

TENANTS: Final = 1_000
CHANGES_SECONDS: Final = 0.5
"""Between two changes of a file. A reload begins when the files were unchanged for a moment."""
LESS, MORE = "body: {type: string, maxLength: 20000}", "body: {type: string, maxLength: 20001}"
"""What changes in the file. No restriction is lost that a person would have to confirm."""


def reload(folder: Path, seconds: float, rounds: int) -> Iterator[Line]:
    """Compare the slowest of single reads without and with reloads of TENANTS, of which one changes, in turns."""
    tree = policies.with_tenants(folder, TENANTS)
    slowest: dict[str, list[float]] = {"quiet": [], "reloading": []}
    p99: dict[str, list[float]] = {"quiet": [], "reloading": []}
    with programs.placet(tree, start_seconds_max=300) as server:
        beside_flood.reads(server.address, 1.0)
        for _ in range(rounds):
            for name, around in (("quiet", contextlib.nullcontext()), ("reloading", _changing(tree, seconds))):
                with around:
                    took, _ = beside_flood.reads(server.address, 2 * seconds)
                slowest[name].append(max(took))
                p99[name].append(quantiles(took, n=100, method="inclusive")[98])
    for what, found in (("slowest", slowest), ("p99", p99)):
        value, floor = Spread.of(found["reloading"]), Spread.of(found["quiet"])
        yield plain(f"{what} single read without a reload", floor, "ms")
        ratio = Spread.of(a / b for a, b in zip(found["reloading"], found["quiet"], strict=True))
        name = f"{what} single read beside reloads of {TENANTS:,} tenants / without"
        yield measured(name, value, "ms", floor, ratio, "")


@contextlib.contextmanager
def _changing(tree: Path, seconds: float) -> Iterator[None]:
    """Change the file of one tenant once at the start of the block, and once in its middle."""
    ended = threading.Event()
    file = tree / "config" / "tenant-0.yaml"

    def change() -> None:
        for _ in range(2):
            text = file.read_text()
            old, new = (LESS, MORE) if LESS in text else (MORE, LESS)
            file.write_text(text.replace(old, new))
            if ended.wait(max(CHANGES_SECONDS, seconds)):
                return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
