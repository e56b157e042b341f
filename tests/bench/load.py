"""Load by ghz, a gRPC load generator in a process of its own (Go; it costs little CPU itself)."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.bench.programs import ROOT

REQUEST: dict[str, Any] = {
    "idempotency_key": "{{newUUID}}",
    "action": {
        "tool": "stripe.refund",
        "params_json": json.dumps({"charge": "ch_1042", "reason": "late delivery", "amount": 45, "currency": "USD"}),
        "amount": {"currency_code": "USD", "minor_units": 4500},
        "scope": "refunds:write",
        "environment": "production",
    },
    "identity": {"agent": "support-agent", "user": "u_4812", "roles": ["support_refunds"], "tenant": "acme"},
    "run": {"run_id": "run_2026_04_24_183301", "step": 3, "workflow": "support_refunds"},
    "model": {"name": "gpt-4.1", "prompt_version": "p12", "input_tokens": 812, "output_tokens": 164},
}


@dataclass(frozen=True, slots=True)
class Load:
    """What a load run saw. Latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def unary(address: str, callers: int, calls: int, request: dict[str, Any] | None = None) -> Load:
    """So many calls of Authorize by so many callers at once."""
    return call(address, "authorization", "AuthorizationService/Authorize", callers, calls, request or REQUEST)


def batch(address: str, callers: int, calls: int, size: int) -> Load:
    """So many calls of AuthorizeBatch, each of so many actions."""
    method = "AuthorizationService/AuthorizeBatch"
    return call(address, "authorization", method, callers, calls, {"requests": [REQUEST] * size})


def call(address: str, proto: str, method: str, callers: int, calls: int, request: dict[str, Any]) -> Load:
    """So many calls of a method, such as ``ApprovalService/ListApprovals`` of ``approval``."""
    ghz = shutil.which("ghz")
    if ghz is None:
        raise RuntimeError("no ghz on PATH; remedy: `make bench`, which brings it")
    command = [ghz, "--insecure", "--import-paths", str(ROOT / "proto"), "--proto"]
    command += [str(ROOT / f"proto/placet/v1/{proto}.proto")]
    command += ["--call", f"placet.v1.{method}", "--concurrency", str(callers)]
    command += ["--total", str(calls), "--format", "json", "--data", json.dumps(request), address]
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    wrong = {code: count for code, count in said["statusCodeDistribution"].items() if code != "OK"}
    if wrong:
        raise RuntimeError(f"calls failed: {wrong} {said.get('errorDistribution')}")
    latency = {each["percentage"]: each["latency"] / 1e6 for each in said["latencyDistribution"]}
    return Load(said["rps"], latency[50], latency[99])
