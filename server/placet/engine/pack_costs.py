"""Measures what each rule pack costs at worst: asks an OPA about each pack alone, with large inputs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.engine.connections import Connections
from placet.engine.http import AnswerTooLargeError
from placet.engine.process import START_SECONDS_MAX, OpaProcess
from placet.kernel.errors import ConfigurationError
from placet.policy.checks.cost_inputs import SIZES, CostInput, cost_inputs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from placet.policy.bundles.bundle import Bundle

LIMIT_SECONDS: Final = 2.0
"""Time limit of one measurement. Larger inputs are not tried after it."""
TIMES: Final = 3
"""Measurements of one input; the least counts."""
START_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class PackCost:
    """The input for which a pack takes longest."""

    pack: str
    microseconds: float
    """How long it takes. LIMIT_SECONDS when it was stopped."""
    ended: bool
    growth: float
    """Time in relation to a quarter of the bytes: about 4 for linear rules, 16 for quadratic ones; 0 when unknown."""
    slowest: CostInput
    profiled: CostInput
    """The largest input of the same kind that ended."""


async def pack_costs(bundle: Bundle, packs: Mapping[str, str], opa: Path, log: Path) -> AsyncIterator[PackCost]:
    """Yield the cost of each pack (package -> source). Starts an OPA with the bundle, and stops it at the end."""
    process = OpaProcess.start(opa, bundle.content, log)
    connections = Connections(process.address)
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await connections.answers(START_POLL_SECONDS):  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(START_POLL_SECONDS)
        for pack, source in packs.items():
            yield await _cost_of(pack, source, bundle, connections)
    finally:
        connections.close()
        await process.stop()


async def _cost_of(pack: str, source: str, bundle: Bundle, connections: Connections) -> PackCost:
    """Ask about all inputs, the small ones first. A kind of input that was stopped is not made larger."""
    times: dict[tuple[str, str], list[tuple[CostInput, float]]] = {}
    for size in SIZES:
        for each in cost_inputs(source, bundle.agent_policies, size):
            measured = times.setdefault((each.tool, each.shape), [])
            if not measured or measured[-1][1] < LIMIT_SECONDS:
                measured.append((each, await _seconds(pack, each.document, connections)))
    return max((_worst(pack, measured) for measured in times.values()), key=lambda cost: cost.microseconds)


def _worst(pack: str, measured: list[tuple[CostInput, float]]) -> PackCost:
    slowest, seconds = max(measured, key=lambda pair: pair[1])
    at = measured.index((slowest, seconds))
    ended = seconds < LIMIT_SECONDS
    profiled = slowest if ended else measured[max(0, at - 1)][0]
    growth = seconds / measured[at - 1][1] if at else 0.0
    return PackCost(pack, seconds * 1e6, ended, growth, slowest, profiled)


async def _seconds(pack: str, document: bytes, connections: Connections) -> float:
    """Return the least time that OPA took for the query, at most LIMIT_SECONDS. Raises ConfigurationError."""
    path = f"/v1/data/{pack.replace('.', '/')}?metrics=true"
    least = LIMIT_SECONDS
    for _ in range(TIMES):
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                _, body = await connections.request("POST", path, b'{"input":%b}' % document)
        except TimeoutError:
            return least
        except AnswerTooLargeError as error:
            raise ConfigurationError(f"{pack}: {error}; its findings repeat the input") from error
        metrics = orjson.loads(body).get("metrics") or {}
        least = min(least, metrics.get("timer_rego_query_eval_ns", LIMIT_SECONDS * 1e9) / 1e9)
    return least
