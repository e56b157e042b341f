"""Callers that send the same action again and again, and a rule that is slow for one of them."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import grpc

from placet.v1 import authorization_pb2
from tests.faults.traffic import AUTHORIZE, CALL_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PAUSE_SECONDS_MAX: Final = 0.02
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


def costly_params(items: int = 1_000) -> str:
    """Return params of 20 bytes an item. The quadratic rule compares each with each: 1,000 take 0.6 s or more."""
    return json.dumps({"items": [f"item-{number:012d}" for number in range(items)]})


def add_quadratic_pack(rego_dir: Path) -> None:
    """Add a pack with a quadratic rule for the tool kb.search."""
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
    refused: list[grpc.StatusCode] = field(default_factory=list)

    def run(self, until: float) -> None:
        """Call until the monotonic time `until`."""
        with grpc.insecure_channel(self.address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            call = channel.unary_unary(AUTHORIZE, None, authorization_pb2.AuthorizeResponse.FromString)
            while time.monotonic() < until:
                self._call(call)
                time.sleep(random.uniform(0, PAUSE_SECONDS_MAX))  # callers mix: each batch has others

    def run_once(self) -> None:
        """Call once."""
        with grpc.insecure_channel(self.address) as channel:
            self._call(channel.unary_unary(AUTHORIZE, None, authorization_pb2.AuthorizeResponse.FromString))

    def _call(self, call: grpc.UnaryUnaryMultiCallable[bytes, authorization_pb2.AuthorizeResponse]) -> None:
        started = time.perf_counter()
        try:
            answer = call(self._request(), CALL_SECONDS_MAX)
        except grpc.RpcError as error:
            self.refused.append(error.code())
        else:
            self.seconds.append(time.perf_counter() - started)
            self.rule_ids.append(answer.decision.rule_id)

    def _request(self) -> bytes:
        message = authorization_pb2.AuthorizeRequest(idempotency_key=uuid.uuid4().hex)
        message.action.tool, message.action.params_json = self.tool, self.params
        message.identity.agent, message.identity.tenant = "agent", self.tenant
        return message.SerializeToString()


def run_together(callers: Sequence[Caller], seconds: float) -> None:
    """Let all callers call for `seconds`."""
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=caller.run, args=(until,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
