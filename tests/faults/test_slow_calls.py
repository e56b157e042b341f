"""Calls that policy takes too long to evaluate are denied alone: they do not slow or deny the calls of others."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from placet.v1 import authorization_pb2
from tests.faults.serving import free_address
from tests.faults.traffic import AUTHORIZE, CALL_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.serving import Server

DEFAULT_MS: Final = 250
SECONDS: Final = 5.0
PAUSE_SECONDS_MAX: Final = 0.02
COSTLY: Final = json.dumps({"items": [f"item-{number:012d}" for number in range(1_000)]})
"""Params of 20 KB that the quadratic rule compares a million times: 0.6 s or more."""
QUADRATIC: Final = """# METADATA
# description: Refuses a search that names one item twice. Compares every item with every other one.
package policy.quadratic

import data.placet.lib.finding

# METADATA
# title: An item is named twice
# custom:
#   rule_id: quadratic.duplicate
deny contains finding(rego.metadata.rule(), {}) if {
	input.action.tool == "kb.search"
	some i, one in input.action.params.items
	some j, other in input.action.params.items
	i < j
	one == other
}
"""


@pytest.fixture
def quadratic(rego_dir: Path) -> None:
    """Add a pack with a quadratic rule to the policies."""
    (rego_dir / "policy/quadratic").mkdir()
    (rego_dir / "policy/quadratic/quadratic.rego").write_text(QUADRATIC)


@dataclass
class Caller:
    """One caller that sends the same action again and again."""

    address: str
    tenant: str
    tool: str
    params: str
    rule_ids: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def run(self, until: float) -> None:
        """Call until the monotonic time `until`."""
        with grpc.insecure_channel(self.address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            call = channel.unary_unary(AUTHORIZE, None, authorization_pb2.AuthorizeResponse.FromString)
            while time.monotonic() < until:
                started = time.perf_counter()
                answer = call(self._request(), CALL_SECONDS_MAX)
                self.seconds.append(time.perf_counter() - started)
                self.rule_ids.append(answer.decision.rule_id)
                time.sleep(random.uniform(0, PAUSE_SECONDS_MAX))  # callers mix: each batch has others

    def _request(self) -> bytes:
        message = authorization_pb2.AuthorizeRequest(idempotency_key=uuid.uuid4().hex)
        message.action.tool, message.action.params_json = self.tool, self.params
        message.identity.agent, message.identity.tenant = "agent", self.tenant
        return message.SerializeToString()


def show(name: str, callers: list[Caller]) -> None:
    """Print the measurements; `pytest -s` shows them."""
    ids = Counter(rule_id for caller in callers for rule_id in caller.rule_ids)
    sys.stdout.write(f"{name}: p50 {p(0.5, callers) * 1e3:.0f} ms, p99 {p(0.99, callers) * 1e3:.0f} ms, {dict(ids)}\n")


def run_together(callers: list[Caller], seconds: float = SECONDS) -> None:
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=caller.run, args=(until,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


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
    run_together(before)
    costly = [Caller(server.address, "acme", "kb.search", COSTLY) for _ in range(2)]
    run_together([*beside, *costly])
    answered = [rule_id for caller in beside for rule_id in caller.rule_ids]
    for name, callers in {"alone": before, "beside": beside, "costly": costly}.items():
        show(name, callers)
    assert {rule_id for caller in costly for rule_id in caller.rule_ids} == {"pdp.engine_timeout"}
    assert set(answered) == {"tools.listed_read"}
    [slow] = server.status().slow_packs
    assert (slow.pack, slow.tool, slow.tenant, slow.ended) == ("policy.quadratic", "kb.search", "acme", False)
    assert slow.milliseconds == DEFAULT_MS
    assert slow.input_bytes > 20_000
    assert server.metric('placet_policy_slow_total{pack="policy.quadratic"}') >= 1
    assert server.events("policy slow")[0]["pack"] == "policy.quadratic"
