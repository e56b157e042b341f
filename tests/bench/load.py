"""Load from ghz, a gRPC load generator. It runs in a separate process and takes little CPU time (it is in Go)."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
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
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """How long a load run takes: `calls` if given, else `seconds`."""

    calls: int = 0
    seconds: float = 0

    @property
    def options(self) -> list[str]:
        """The options of ghz. Calls that are in flight at the end of the time are awaited."""
        if self.calls:
            return ["--total", str(self.calls)]
        return ["--duration", f"{self.seconds:.2f}s", "--duration-stop", "wait"]


def unary(address: str, callers: int, amount: Amount | int, request: dict[str, Any] | None = None) -> Load:
    """Send an `amount` (a number: so many calls) of Authorize from `callers` at once."""
    return call(address, "authorization", "AuthorizationService/Authorize", callers, amount, request or REQUEST)


def batch(address: str, callers: int, amount: Amount | int, size: int) -> Load:
    """Send an `amount` of AuthorizeBatch from `callers` at once, each with `size` actions."""
    method = "AuthorizationService/AuthorizeBatch"
    return call(address, "authorization", method, callers, amount, {"requests": [REQUEST] * size})


def streams(address: str, callers: int, requests: int, amount: Amount) -> Load:
    """Open an `amount` of AuthorizeStream, `callers` at once, each with `requests` messages of one request.

    The calls of the result are requests; its times are those of a whole stream.
    """
    service = [*_service("authorization", "AuthorizationService/AuthorizeStream"), "--stream-dynamic-messages"]
    message = {"requests": [{"id": "{{newUUID}}", "request": REQUEST}]}
    result = ghz(address, [*service, "--stream-call-count", str(requests)], callers, amount, message)
    return replace(result, per_second=result.per_second * requests, calls=result.calls * requests)


def call(address: str, proto: str, method: str, callers: int, amount: Amount | int, request: dict[str, Any]) -> Load:
    """Send calls of a method of a proto, such as ``ApprovalService/ListApprovals`` of ``approval``.

    Raises RuntimeError when ghz is missing or a call fails.
    """
    return ghz(address, _service(proto, method), callers, amount, request)


def ghz(address: str, service: list[str], callers: int, amount: Amount | int, request: dict[str, Any]) -> Load:
    """Run ghz against any gRPC server. `service` are its options that name the protos and the method."""
    program = shutil.which("ghz")
    if program is None:
        raise RuntimeError("ghz is not on PATH; run `make bench`, which installs it")
    amount = Amount(calls=amount) if isinstance(amount, int) else amount
    command = [program, "--insecure", *service, "--concurrency", str(callers), *amount.options]
    command += ["--format", "json", "--data", json.dumps(request), address]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    failures = {code: count for code, count in report["statusCodeDistribution"].items() if code != "OK"}
    if failures:
        raise RuntimeError(f"calls failed: {failures} {report.get('errorDistribution')}")
    latency = {entry["percentage"]: entry["latency"] / 1e6 for entry in report["latencyDistribution"]}  # from ns
    return Load(report["rps"], latency[50], latency[99], report["count"])


def _service(proto: str, method: str) -> list[str]:
    protos = ["--import-paths", str(ROOT / "proto"), "--proto", str(ROOT / f"proto/placet/v1/{proto}.proto")]
    return [*protos, "--call", f"placet.v1.{method}"]
