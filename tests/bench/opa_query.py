"""The query that a server of any checkout sends to OPA for the shipped refund, and what `opa bench` says of it.

A server decides one refund; its query to OPA is recorded with the bundle. `opa bench` repeats exactly this query, so
the figure needs no knowledge of the checkout. `opa_bench` is the quick way for the policy of this checkout.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.json_format import ParseDict

from placet.policy.toolchain.binary import find_opa
from placet.v1 import authorization_pb2
from tests.bench import opa_recorder, policies, programs
from tests.bench.checkouts import HERE
from tests.bench.load import REQUEST
from tests.support.bundle_cache import seed_bundles

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.checkouts import Checkout

AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"
ROOT_PATH: Final = "/v1/data/"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one query costs."""

    allocations: int
    us: float


@dataclass(frozen=True, slots=True)
class Query:
    """A recorded query."""

    bundle: Path
    reference: str  # such as data.placet.main.decisions
    input: Path


def repeat(query: Query) -> Cost:
    """Run `opa bench` once."""
    command = [str(find_opa().path), "bench", "--format", "json", "--bundle", str(query.bundle)]
    command += ["--input", str(query.input), query.reference]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Cost(result["MemAllocs"] // result["N"], result["T"] / result["N"] / 1e3)  # T is in nanoseconds


def record(folder: Path, checkout: Checkout = HERE) -> Query:
    """Let a server of the checkout decide the benchmark's request once, and return what it asked OPA."""
    folder = folder.resolve()
    program = folder / "opa"
    command = [sys.executable, opa_recorder.__file__, str(find_opa().path), str(folder)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o755)
    rego, data_dir = policies.shipped(folder, checkout), folder / "data"
    keep_bundle = seed_bundles(rego, data_dir)  # in tests, which build it once
    data_dir.mkdir(exist_ok=True)
    with programs.placet(rego, data_dir, checkout=checkout, more=["--opa-path", str(program)]) as server:
        keep_bundle()
        _decide(server.address)
    if not (folder / "body").exists():
        raise RuntimeError("the server did not ask OPA about the benchmark's request")
    path = urlsplit((folder / "path").read_text()).path
    (folder / "input.json").write_text(json.dumps(json.loads((folder / "body").read_bytes())["input"]))
    reference = "data." + path.removeprefix(ROOT_PATH).replace("/", ".")
    return Query(folder / "bundle.tar.gz", reference, folder / "input.json")


def _decide(address: str) -> None:
    """Ask for the benchmark's refund. Raises RuntimeError unless it is allowed."""
    request = ParseDict({**REQUEST, "idempotency_key": "opa-query"}, authorization_pb2.AuthorizeRequest())
    with grpc.insecure_channel(address) as channel:
        authorize = channel.unary_unary(
            AUTHORIZE,
            request_serializer=authorization_pb2.AuthorizeRequest.SerializeToString,
            response_deserializer=authorization_pb2.AuthorizeResponse.FromString,
        )
        decision = authorize(request, timeout=10).decision
    if decision.rule_id != "refunds.within_limit":
        raise RuntimeError(f"the refund was not decided as usual: {decision}")
