"""Calls that policy takes too long to evaluate are denied alone: they do not slow or deny the calls of others."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.repeating import Caller, add_quadratic_pack, costly_params, run_together
from tests.faults.serving import eventually, free_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.serving import Server

DEFAULT_MS: Final = 250
SECONDS: Final = 5.0
ENDLESS_ITEMS: Final = 3_000
"""Items that the quadratic rule would compare for 5 s of CPU or more."""
ABANDONED_CPU_SECONDS_MAX: Final = 2.5
"""Of one call: its time limit in the batch, alone, and of the packs that are asked who was slow; and a collection."""


@pytest.fixture
def quadratic(rego_dir: Path) -> None:
    """Add a pack with a quadratic rule to the policies."""
    add_quadratic_pack(rego_dir)


def show(name: str, callers: list[Caller]) -> None:
    """Print the measurements; `pytest -s` shows them."""
    ids = Counter(rule_id for caller in callers for rule_id in caller.rule_ids)
    sys.stdout.write(f"{name}: p50 {p(0.5, callers) * 1e3:.0f} ms, p99 {p(0.99, callers) * 1e3:.0f} ms, {dict(ids)}\n")


def p(share: float, callers: list[Caller]) -> float:
    """Return the quantile of the seconds that the calls took."""
    took = sorted(second for caller in callers for second in caller.seconds)
    return took[min(len(took) - 1, int(share * len(took)))]


def innocent(server: Server) -> list[Caller]:
    return [Caller(server.address, "globex", "zendesk.get_ticket", '{"id":1}') for _ in range(8)]


@pytest.mark.usefixtures("quadratic")
def test_slow_calls_are_denied_alone(serve: Callable[..., Server]) -> None:
    server = serve(opa_timeout_ms=DEFAULT_MS, metrics_listen=free_address())
    before, beside = innocent(server), innocent(server)
    run_together(before, SECONDS)
    costly = [Caller(server.address, "acme", "kb.search", costly_params()) for _ in range(2)]
    run_together([*beside, *costly], SECONDS)
    answered = [rule_id for caller in beside for rule_id in caller.rule_ids]
    for name, callers in {"alone": before, "beside": beside, "costly": costly}.items():
        show(name, callers)
    assert {rule_id for caller in costly for rule_id in caller.rule_ids} == {"pdp.engine_timeout"}
    assert set(answered) == {"tools.listed_read"}
    assert not [code for caller in (*beside, *costly) for code in caller.refused]
    [slow] = server.status().slow_packs
    assert (slow.pack, slow.tool, slow.tenant, slow.ended) == ("policy.quadratic", "kb.search", "acme", False)
    assert slow.milliseconds == DEFAULT_MS
    assert slow.input_bytes > 20_000
    assert server.metric('placet_policy_slow_total{pack="policy.quadratic"}') >= 1
    assert server.events("policy slow")[0]["pack"] == "policy.quadratic"


def opa_cpu_seconds(server: Server) -> float:
    times = server.opa.cpu_times()
    return float(times.user + times.system)


@pytest.mark.usefixtures("quadratic")
def test_opa_stops_evaluating_what_nobody_waits_for(serve: Callable[..., Server]) -> None:
    server = serve(opa_timeout_ms=DEFAULT_MS)
    before = opa_cpu_seconds(server)
    costly = Caller(server.address, "acme", "kb.search", costly_params(ENDLESS_ITEMS))
    costly.run_once()
    assert costly.rule_ids == ["pdp.engine_timeout"]
    eventually(lambda: bool(server.status().slow_packs), 20, "the slow pack is named")
    seen: list[float] = []

    def idle() -> bool:
        seen.append(opa_cpu_seconds(server))
        return len(seen) > 25 and seen[-1] - seen[-25] < 0.03

    eventually(idle, 30, "OPA is idle")
    assert seen[-1] - before < ABANDONED_CPU_SECONDS_MAX
