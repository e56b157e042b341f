"""Single reads of one tenant while another tenant, in a separate process, sends large batches without pause."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Final

import grpc

from placet.v1 import action_pb2, authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCH: Final = "/placet.v1.AuthorizationService/AuthorizeBatch"
SINGLE: Final = "/placet.v1.AuthorizationService/Authorize"
DEADLINE_SECONDS: Final = 3.0
ACTIONS: Final = 100
PAUSE_SECONDS: Final = 0.1
"""How long a sender of batches waits after an error, as the server asks it to."""


def request(tenant: str, tool: str, params: dict[str, object]) -> authorization_pb2.AuthorizeRequest:
    """Return a request with a new idempotency key."""
    return authorization_pb2.AuthorizeRequest(
        idempotency_key=uuid.uuid4().hex,
        action=action_pb2.Action(tool=tool, params_json=json.dumps(params)),
        identity=action_pb2.Identity(agent="support-agent", user="u_1", tenant=tenant),
        run=action_pb2.Run(run_id=f"run_{tenant}"),
    )


def batch(tenant: str, actions: int, params_bytes: int) -> bytes:
    """Return a serialized batch of `actions`, each with params of `params_bytes`."""
    requests = [request(tenant, "kb.search", {"a": "x" * params_bytes}) for _ in range(actions)]
    return authorization_pb2.AuthorizeBatchRequest(requests=requests).SerializeToString()


async def flood(address: str, tenant: str, actions: int, params_bytes: int, until: float) -> None:
    """Send batches over a new connection until the monotonic time `until`. Prints the status of the first answer."""
    printed = False
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        send = channel.unary_unary(BATCH, request_serializer=None, response_deserializer=None)
        while time.monotonic() < until:
            try:
                await send(batch(tenant, actions, params_bytes), timeout=30)
                status = grpc.StatusCode.OK
            except grpc.aio.AioRpcError as error:
                status = error.code()
                await asyncio.sleep(PAUSE_SECONDS)
            if not printed:  # more would fill the pipe to the parent, which reads one line
                print(status.name, flush=True)
                printed = True


async def flooding(options: argparse.Namespace) -> None:
    """Send batches over `connections` connections for `seconds`."""
    until = time.monotonic() + options.seconds
    size = (options.actions, options.params_bytes)
    floods = (flood(options.address, options.tenant, *size, until) for _ in range(options.connections))
    await asyncio.gather(*floods)


def reads(address: str, seconds: float) -> tuple[list[float], int]:
    """Send single reads, one after another, for `seconds`.

    Returns the milliseconds that each took, and how many missed DEADLINE_SECONDS.
    """
    took, missed = [], 0
    until = time.monotonic() + seconds
    with grpc.insecure_channel(address) as channel:
        send = channel.unary_unary(
            SINGLE,
            request_serializer=authorization_pb2.AuthorizeRequest.SerializeToString,
            response_deserializer=authorization_pb2.AuthorizeResponse.FromString,
        )
        while time.monotonic() < until:
            started = time.perf_counter()
            try:
                send(request("globex", "crm.get_customer", {"customer_id": "c_1"}), timeout=DEADLINE_SECONDS)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
                missed += 1
            took.append((time.perf_counter() - started) * 1e3)
    return took, missed


@contextlib.contextmanager
def flooded(address: str, connections: int, seconds: float) -> Iterator[None]:
    """Flood the server with large batches from a separate process during the block, for at most `seconds`.

    Begins at the first answer.
    """
    command = [sys.executable, "-m", "tests.bench.beside_flood", address, "--connections", str(connections)]
    with subprocess.Popen([*command, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            child.stdout.readline()
            yield
        finally:
            child.terminate()


def main(arguments: Sequence[str]) -> int:
    """Flood a server and print one line for each connection."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beside_flood", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=40)
    parser.add_argument("--actions", type=int, default=ACTIONS)
    parser.add_argument("--tenant", default="acme")
    parser.add_argument("--params-bytes", type=int, default=60_000)
    options = parser.parse_args(arguments)
    asyncio.run(flooding(options))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
