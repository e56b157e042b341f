"""The memory of the decision path over very many decisions, without OPA and gRPC: they would take most of the time.

`python -m tests.bench.many_decisions 1000000` decides in this process, with the parts of a server, and prints its
memory after a tenth and after all of the decisions as JSON.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Final

import psutil
import uvloop
from google.protobuf.json_format import ParseDict

from placet.server.lifecycle import GC_THRESHOLDS
from placet.v1 import authorization_pb2
from tests.bench.calls_per_action import BATCH, LIMITED, PLAIN, authorizing
from tests.bench.load import REQUEST
from tests.bench.programs import ROOT

KEY: Final = b"key" * 12
"""In a batch: replaced by a key of its own for each action."""
USER: Final = b"user_0000"
"""Likewise, by one of USERS users. All of them are known when memory is read first."""
USERS: Final = 1_000


def memory_mib(decisions: int) -> tuple[float, float]:
    """Return the memory of a process after a tenth of the decisions, and after all of them."""
    command = [sys.executable, "-m", "tests.bench.many_decisions", str(decisions)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    early, late = json.loads(output)
    return early, late


def _batch(tenant: str) -> list[bytes]:
    """Return a batch of BATCH actions, cut at each key and user."""
    identity = {**REQUEST["identity"], "tenant": tenant, "user": USER.decode()}
    action = {**REQUEST, "identity": identity, "idempotency_key": KEY.decode()}
    message = ParseDict({"requests": [action] * BATCH}, authorization_pb2.AuthorizeBatchRequest())
    return message.SerializeToString().split(KEY)


async def _decide(decisions: int) -> tuple[float, float]:
    process, memory = psutil.Process(), []
    batches = [_batch(tenant) for tenant in (*[PLAIN] * 9, LIMITED)]  # a tenth of the decisions has budgets
    with tempfile.TemporaryDirectory(prefix="placet-many-") as folder:
        async with authorizing(Path(folder)) as authorize:
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            for number in range(decisions // BATCH):
                if number == decisions // BATCH // 10:
                    memory.append(process.memory_info().rss / 2**20)
                cut = batches[number % len(batches)]
                first, user = uuid.uuid4().hex, b"user_%04d" % (number % USERS)
                keyed = [piece + b"%s%04d" % (first.encode(), index) for index, piece in enumerate(cut[:-1])]
                await authorize(b"".join([*keyed, cut[-1]]).replace(USER, user))
            memory.append(process.memory_info().rss / 2**20)
    return memory[0], memory[1]


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_decide(int(sys.argv[1])))))
