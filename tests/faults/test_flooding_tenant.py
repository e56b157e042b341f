"""A tenant that floods the server loses its own calls. Those of other tenants are all decided."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

import grpc

from placet.v1 import authorization_pb2
from tests.faults.repeating import Caller, run_together
from tests.faults.traffic import CALL_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.serving import Server

BATCH: Final = "/placet.v1.AuthorizationService/AuthorizeBatch"
INNOCENT_CALLERS: Final = 4
FLOODING_CALLERS: Final = 40
"""Ten times the innocent ones. Each sends batches, one after another, without a pause."""
ACTIONS: Final = 16
DEPTH_MAX: Final = 128
SECONDS: Final = 4.0


def batch() -> bytes:
    message = authorization_pb2.AuthorizeBatchRequest()
    for _ in range(ACTIONS):
        request = message.requests.add(idempotency_key=uuid.uuid4().hex)
        request.action.tool, request.action.params_json = "kb.search", '{"query":"printer"}'
        request.identity.agent, request.identity.tenant = "agent", "acme"
    return message.SerializeToString()


class Flood:
    """Callers of one tenant, each with a connection, and the statuses of their batches."""

    def __init__(self, address: str) -> None:
        self.codes: Counter[grpc.StatusCode] = Counter()
        self._address = address
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(FLOODING_CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with grpc.insecure_channel(self._address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            call = channel.unary_unary(BATCH, None, None)
            while not self._ended.is_set():
                try:
                    call(batch(), CALL_SECONDS_MAX)
                    self.codes[grpc.StatusCode.OK] += 1
                except grpc.RpcError as error:
                    self.codes[error.code()] += 1


def test_only_the_flooding_tenant_is_refused(serve: Callable[..., Server]) -> None:
    server = serve(queue_depth_max=DEPTH_MAX)
    innocent = [Caller(server.address, "globex", "zendesk.get_ticket", '{"id":1}') for _ in range(INNOCENT_CALLERS)]
    with Flood(server.address) as flood:
        while not flood.codes[grpc.StatusCode.RESOURCE_EXHAUSTED]:
            time.sleep(0.01)
        run_together(innocent, SECONDS)
    assert set(flood.codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert not [code for caller in innocent for code in caller.refused]
    assert {rule_id for caller in innocent for rule_id in caller.rule_ids} == {"tools.listed_read"}
