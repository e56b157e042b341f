"""Allocations and least time of OPA for one shipped refund, by ``opa bench`` through the entry that the server asks.

The allocations depend only on the policy and the version of OPA, so they can be compared between machines. Run it with
``python -m tests.bench.opa_bench``.
"""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from placet.actions.document import canonical_request
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.clock import rfc3339
from placet.kernel.model import Action, Amount, Identity, Model, Run, ToolClass
from placet.policy.bundles.bundle import build_bundle
from placet.policy.toolchain.binary import find_opa
from tests.bench.programs import ROOT

ENTRY: Final = "data.placet.main.decisions"
"""The entry as a query. The server asks for it by its path, ``data/placet/main/decisions``."""
NOW_US: Final = 1_777_055_581_123_456
_RESULT: Final = re.compile(r"([0-9.]+) ns/op.*?\s([0-9]+) allocs/op")


@dataclass(frozen=True, slots=True)
class OpaCost:
    """What one query costs OPA."""

    allocations: int
    """Allocations of one query. Deterministic but for one or two."""
    least_us: float
    """The mean time of one query in microseconds, of the run with the least."""


def refund_input() -> bytes:
    """Return the policy input of a refund of 45.00 USD by acme's support agent, which the shipped policy allows."""
    action = Action(
        "stripe.refund",
        b'{"amount":45,"charge":"ch_1042","currency":"USD"}',
        Amount("USD", 4500),
        environment="production",
    )
    identity = Identity("support-agent", "acme", "u_4812", ("support_refunds",))
    request = canonical_request(action, identity, Run(), Model(), ())
    facts = base_facts(ToolClass.WRITE) | {"params_schema": {"violations": []}}
    return policy_input(request, facts, rfc3339(NOW_US))


def measure(runs: int = 1, rego_dir: Path = ROOT / "rego") -> OpaCost:
    """Return the cost of the refund in a bundle that is built as the server builds it."""
    opa = find_opa().path
    with tempfile.TemporaryDirectory(prefix="placet-opa-bench-") as folder:
        bundle, document = Path(folder, "bundle.tar.gz"), Path(folder, "input.json")
        bundle.write_bytes(build_bundle(rego_dir, opa, Path(folder, "cache")).content)
        document.write_bytes(b'{"batch":[%b]}' % refund_input())
        options = ["--bundle", str(bundle), "--input", str(document), "--metrics=false", "--format", "gobench"]
        command = [str(opa), "bench", *options, "--count", str(runs), ENTRY]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
    results = [(float(nanoseconds), int(count)) for nanoseconds, count in _RESULT.findall(ended.stdout)]
    return OpaCost(min(count for _, count in results), min(nanoseconds for nanoseconds, _ in results) / 1_000)


@functools.cache
def allocations() -> int:
    """Return the allocations of OPA for one shipped refund."""
    return measure().allocations


if __name__ == "__main__":
    cost = measure(runs=5)
    print(f"{cost.allocations} allocations, {cost.least_us:.0f} us at least")
