"""Load from loadgen, the small Go program beside this file. It sends prepared bytes, so that it takes little CPU time.

It sends what ghz cannot: a stream with a fixed number of calls in flight, HTTP, and batches that need no template for
each action. Compare its figures only with each other, not with those of ghz.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.json_format import ParseDict

from placet.v1 import authorization_pb2
from tests.bench.load import REQUEST, Load
from tests.bench.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCE: Final = ROOT / "tests/bench/loadgen"
PROGRAM: Final = ROOT / ".cache/loadgen"
KEY: Final = "KEY" * 10 + "KE"
"""In a request: loadgen replaces each by a key that no other request has."""
ALLOWED: Final = "refunds.within_limit"
"""In each answer to the benchmark's request."""
SERVICE: Final = "/placet.v1.AuthorizationService/"
FLOOD_SECONDS_BEFORE: Final = 0.5
"""How long a flood runs before anything is measured beside it."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How to send: calls in flight, seconds, connections of unary calls, and CPUs for loadgen (empty: all)."""

    in_flight: int
    seconds: float
    connections: int = 1
    cpus: Sequence[int] = ()


def unary(address: str, sending: Sending) -> Load:
    """Send the benchmark's request by Authorize."""
    return send("unary", address, f"{SERVICE}Authorize", sending, _request().SerializeToString(), ALLOWED)


def stream(address: str, sending: Sending) -> Load:
    """Send the benchmark's request over one AuthorizeStream. The calls of the result are requests."""
    streamed = authorization_pb2.StreamedRequest(id=KEY, request=_request())
    return send("stream", address, f"{SERVICE}AuthorizeStream", sending, streamed.SerializeToString(), ALLOWED)


def batch(address: str, sending: Sending, size: int) -> Load:
    """Send the benchmark's request `size` times in each AuthorizeBatch."""
    batched = authorization_pb2.AuthorizeBatchRequest(requests=[_request()] * size)
    return send("unary", address, f"{SERVICE}AuthorizeBatch", sending, batched.SerializeToString(), ALLOWED)


@contextlib.contextmanager
def flood(address: str, sending: Sending, request: authorization_pb2.AuthorizeRequest) -> Iterator[None]:
    """Send a request by Authorize during the block, for at most the seconds of `sending`. Its answers do not matter.

    The idempotency key of the request must be KEY. A caller whose call is refused waits for a moment.
    """
    with _body(request.SerializeToString()) as body:
        command = _command("unary", address, f"{SERVICE}Authorize", sending, body, "")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            time.sleep(FLOOD_SECONDS_BEFORE)
            try:
                yield
            finally:
                child.kill()


def send(kind: str, address: str, method: str, sending: Sending, body: bytes, expect: str) -> Load:
    """Send the bytes: `kind` is unary, stream or http. Each answer must contain `expect`.

    Raises RuntimeError when loadgen cannot be built or when a call fails.
    """
    with _body(body) as file:
        command = _command(kind, address, method, sending, file, expect)
        completed = subprocess.run(command, check=False, capture_output=True, text=True)
    if completed.returncode != 0:
        raise RuntimeError(f"{kind} {method} at {address}: {completed.stderr.strip()}")
    result = json.loads(completed.stdout)
    if result["failures"]:
        raise RuntimeError(f"{kind} {method} at {address}: calls failed: {result['failures']}")
    return Load(result["per_second"], result["p50_ms"], result["p99_ms"], result["calls"])


@functools.cache
def program() -> str:
    """Build loadgen, which is quick when it is built already, and return its path."""
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("loadgen cannot be built without a Go toolchain. Remedy: install Go 1.26 or newer.")
    PROGRAM.parent.mkdir(exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    command = [go, "build", "-trimpath", "-o", str(PROGRAM), "."]
    completed = subprocess.run(command, cwd=SOURCE, env=environment, check=False, capture_output=True, text=True)
    if completed.returncode != 0:
        raise RuntimeError(f"loadgen cannot be built: {completed.stderr.strip()}")
    return str(PROGRAM)


@contextlib.contextmanager
def _body(content: bytes) -> Iterator[str]:
    """Write the content to a file for the duration of the block. Yields its path."""
    with tempfile.NamedTemporaryFile(prefix="placet-load-") as file:
        file.write(content)
        file.flush()
        yield file.name


def _command(kind: str, address: str, method: str, sending: Sending, body: str, expect: str) -> list[str]:
    pinned = ["taskset", "--cpu-list", ",".join(map(str, sending.cpus))] if sending.cpus else []
    command = [*pinned, program(), "-kind", kind, "-address", address, "-method", method, "-body", body]
    command += ["-callers", str(sending.in_flight), "-connections", str(sending.connections)]
    return [*command, "-seconds", str(sending.seconds), "-expect", expect]


def _request() -> authorization_pb2.AuthorizeRequest:
    return ParseDict({**REQUEST, "idempotency_key": KEY}, authorization_pb2.AuthorizeRequest())
