"""How clients connect, and what each call is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DEFAULT_ADDRESS: Final = "127.0.0.1:7070"
DEFAULT_TIMEOUT_SECONDS: Final = 2.0
"""One call with its retries: a lost packet and a restart of the engine fit, a person does not wait much longer."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""One answer: a page of 500 decisions with all that policy saw fits."""

OPTIONS: Final = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),  # a decision is asked of Placet, not of whatever http_proxy names
    ("grpc.initial_reconnect_backoff_ms", 50),  # so that a retry can meet a server that came back
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"
AUTHORIZE_BATCH: Final = "/placet.v1.AuthorizationService/AuthorizeBatch"
QUERY_DECISIONS: Final = "/placet.v1.AuditService/QueryDecisions"
GET_DECISION: Final = "/placet.v1.AuditService/GetDecision"
VERIFY_AUDIT: Final = "/placet.v1.AuditService/VerifyAudit"
GET_POLICY_STATUS: Final = "/placet.v1.ControlService/GetPolicyStatus"

OnFailure = Literal["deny", "raise"]
"""When there is no decision: answer with a deny that carries the `failure`, or raise CallFailedError."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a call gets when it does not say otherwise: seconds for all its tries, and what a failure becomes."""

    timeout: float
    on_failure: OnFailure

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {self.timeout!r}")
        if self.on_failure not in {"deny", "raise"}:
            raise ValueError(f"on_failure must be 'deny' or 'raise', not {self.on_failure!r}")
