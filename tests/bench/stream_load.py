"""Load over AuthorizeStream, from a separate process: a fixed number of requests in flight on one stream.

`python -m tests.bench.stream_load ADDRESS IN_FLIGHT ACTIONS` prints actions a second and the percentiles of latency as
JSON. Requests are prepared before the clock starts, so that the load takes little of the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import grpc
import uvloop
from google.protobuf.json_format import ParseDict

from placet.v1 import authorization_pb2
from tests.bench.load import REQUEST
from tests.bench.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUTHORIZE_STREAM: Final = "/placet.v1.AuthorizationService/AuthorizeStream"
WARM_UP_ACTIONS: Final = 500


def stream(address: str, in_flight: int, actions: int, request: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Send `actions` over one stream in a separate process. Returns per_second, p50_ms and p99_ms.

    Raises RuntimeError if an action is answered with an error.
    """
    command = [sys.executable, "-m", "tests.bench.stream_load", address, str(in_flight), str(actions)]
    command += [json.dumps(request)] if request else []
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


async def measure(address: str, in_flight: int, actions: int, request: Mapping[str, Any]) -> dict[str, float]:
    """Send `actions` over one stream: as many requests as were answered together are sent together."""
    prepared = _prepared(request, actions + WARM_UP_ACTIONS)
    async with grpc.aio.insecure_channel(address) as channel:
        method: Any = channel.stream_stream(
            AUTHORIZE_STREAM, None, authorization_pb2.AuthorizeStreamResponse.FromString
        )
        call = method()
        await _exchange(call, prepared[:WARM_UP_ACTIONS], in_flight)
        started = time.perf_counter()
        seconds = sorted(await _exchange(call, prepared[WARM_UP_ACTIONS:], in_flight))
        elapsed = time.perf_counter() - started
        await call.done_writing()
    p50, p99 = (seconds[int(len(seconds) * part)] * 1e3 for part in (0.5, 0.99))
    return {"per_second": actions / elapsed, "p50_ms": p50, "p99_ms": p99}


async def _exchange(call: Any, prepared: Sequence[tuple[str, bytes]], in_flight: int) -> list[float]:
    """Return the seconds that each answer took."""
    started: dict[str, float] = {}
    taken: list[float] = []
    position, room = 0, in_flight
    while len(taken) < len(prepared):
        now = time.perf_counter()
        next_requests = prepared[position : position + room]
        position += len(next_requests)
        started.update((id_, now) for id_, _ in next_requests)
        if next_requests:
            await call.write(b"".join(raw for _, raw in next_requests))
        responses = (await call.read()).responses
        now = time.perf_counter()
        room = len(responses)
        for response in responses:
            if response.WhichOneof("answer") != "decision":
                raise RuntimeError(str(response))
            taken.append(now - started.pop(response.id))
    return taken


def _prepared(request: Mapping[str, Any], count: int) -> list[tuple[str, bytes]]:
    """Return ids and messages with one request each; messages that are joined are one message with all requests."""
    message = ParseDict({**request, "idempotency_key": ""}, authorization_pb2.AuthorizeRequest())
    prepared = []
    for number in range(count):
        message.idempotency_key = uuid.uuid4().hex
        streamed = authorization_pb2.StreamedRequest(id=str(number), request=message)
        raw = authorization_pb2.AuthorizeStreamRequest(requests=[streamed]).SerializeToString()
        prepared.append((str(number), raw))
    return prepared


if __name__ == "__main__":
    address, in_flight, actions, *request = sys.argv[1:]
    template = json.loads(request[0]) if request else REQUEST
    print(json.dumps(uvloop.run(measure(address, int(in_flight), int(actions), template))))
