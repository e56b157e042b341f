"""Load from ghz, a gRPC load generator. It runs in a separate process and takes little CPU time (it is in Go)."""

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
    """The result of one load run."""

    per_second: float  # calls
    p50_ms: float
    p99_ms: float


def unary(address: str, callers: int, calls: int, request: dict[str, Any] | None = None) -> Load:
    """Send `calls` of Authorize from `callers` at once."""
    return call(address, "authorization", "AuthorizationService/Authorize", callers, calls, request or REQUEST)


def batch(address: str, callers: int, calls: int, size: int) -> Load:
    """Send `calls` of AuthorizeBatch from `callers` at once, each with `size` actions."""
    method = "AuthorizationService/AuthorizeBatch"
    return call(address, "authorization", method, callers, calls, {"requests": [REQUEST] * size})


def call(address: str, proto: str, method: str, callers: int, calls: int, request: dict[str, Any]) -> Load:
    """Send calls of a method of a proto, such as ``ApprovalService/ListApprovals`` of ``approval``.

    Raises RuntimeError when ghz is missing or a call fails.
    """
    ghz = shutil.which("ghz")
    if ghz is None:
        raise RuntimeError("ghz is not on PATH; run `make bench`, which installs it")
    command = [ghz, "--insecure", "--import-paths", str(ROOT / "proto"), "--proto"]
    command += [str(ROOT / f"proto/placet/v1/{proto}.proto")]
    command += ["--call", f"placet.v1.{method}", "--concurrency", str(callers)]
    command += ["--total", str(calls), "--format", "json", "--data", json.dumps(request), address]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    failures = {code: count for code, count in report["statusCodeDistribution"].items() if code != "OK"}
    if failures:
        raise RuntimeError(f"calls failed: {failures} {report.get('errorDistribution')}")
    latency = {entry["percentage"]: entry["latency"] / 1e6 for entry in report["latencyDistribution"]}  # from ns
    return Load(report["rps"], latency[50], latency[99])
