"""How clients connect, and what each call is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

DEFAULT_ADDRESS: Final = "127.0.0.1:7070"
DEFAULT_TIMEOUT_SECONDS: Final = 2.0
"""One call with its retries: a lost packet and a restart of the engine fit, a person does not wait much longer."""
CALL_SECONDS_MAX: Final = 300
"""The most that one call with its retries may be given."""
WAIT_SECONDS_MAX: Final = 604_800
"""The most that a wait, a watch or a check of the whole trail may be given: as long as an approval can be pending."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""One answer: a page of 500 decisions with all that policy saw fits."""

KEEPALIVE_MS: Final = 10_000
"""How often a connection is tried, in use or not: below the idle time-out of every NAT, and what the server permits."""
KEEPALIVE_TIMEOUT_MS: Final = 5_000
"""How long the answer may take; then the connection is made anew."""

OPTIONS: Final = (
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # of pings that gRPC sends to measure the network: else 60 s
    ("grpc.keepalive_permit_without_calls", 1),  # else the first call after a pause is the one that finds out
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),  # a decision is asked of Placet, not of whatever http_proxy names
    ("grpc.initial_reconnect_backoff_ms", 50),  # so that a retry can meet a server that came back
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"
AUTHORIZE_BATCH: Final = "/placet.v1.AuthorizationService/AuthorizeBatch"
WATCH_DECISION: Final = "/placet.v1.AuthorizationService/WatchDecision"
LIST_APPROVALS: Final = "/placet.v1.ApprovalService/ListApprovals"
GET_APPROVAL: Final = "/placet.v1.ApprovalService/GetApproval"
APPROVE_ACTION: Final = "/placet.v1.ApprovalService/ApproveAction"
REJECT_ACTION: Final = "/placet.v1.ApprovalService/RejectAction"
VOID_VOTES: Final = "/placet.v1.ApprovalService/VoidVotes"
CANCEL_APPROVAL: Final = "/placet.v1.ApprovalService/CancelApproval"
WATCH_APPROVALS: Final = "/placet.v1.ApprovalService/WatchApprovals"
REPORT_OUTCOME: Final = "/placet.v1.AuthorizationService/ReportOutcome"
QUERY_DECISIONS: Final = "/placet.v1.AuditService/QueryDecisions"
GET_DECISION: Final = "/placet.v1.AuditService/GetDecision"
VERIFY_AUDIT: Final = "/placet.v1.AuditService/VerifyAudit"
GET_POLICY_STATUS: Final = "/placet.v1.ControlService/GetPolicyStatus"
GET_PERMIT_KEYS: Final = "/placet.v1.ControlService/GetPermitKeys"
CONFIRM_POLICY: Final = "/placet.v1.ControlService/ConfirmPolicy"
SET_KILL_SWITCH: Final = "/placet.v1.ControlService/SetKillSwitch"
CLEAR_KILL_SWITCH: Final = "/placet.v1.ControlService/ClearKillSwitch"
LIST_KILL_SWITCHES: Final = "/placet.v1.ControlService/ListKillSwitches"
SET_AUTONOMY: Final = "/placet.v1.ControlService/SetAutonomy"
LIST_AUTONOMY: Final = "/placet.v1.ControlService/ListAutonomy"
GET_BUDGETS: Final = "/placet.v1.ControlService/GetBudgets"
ADJUST_BUDGET: Final = "/placet.v1.ControlService/AdjustBudget"
LIST_OUTCOME_EXCESSES: Final = "/placet.v1.ControlService/ListOutcomeExcesses"
DECIDE_OUTCOME_EXCESS: Final = "/placet.v1.ControlService/DecideOutcomeExcess"

PORT_MAX: Final = 65_535
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:]+):([0-9]+)")
"""The host is judged by whoever resolves it."""

OnFailure = Literal["deny", "raise"]
"""When there is no decision: answer with a deny that carries the `failure`, or raise CallFailedError."""


def checked_address(address: str) -> str:
    """The address of a server, ``host:port``. ValueError when it has another form: nothing could answer there."""
    given: object = address
    if not isinstance(given, str):
        raise TypeError(f"address must be text, host:port, not {type(given).__name__}")
    form = _ADDRESS.fullmatch(address)
    if form is None or not 1 <= int(form[1]) <= PORT_MAX:
        raise ValueError(
            f"address must be host:port with a port of 1 to {PORT_MAX}, such as {DEFAULT_ADDRESS}, "
            f"placet.internal:7070 or [::1]:7070, not {address!r}"
        )
    return address


def checked_timeout(timeout: float, at_most: float = CALL_SECONDS_MAX) -> float:
    """The seconds of a call. TypeError when they are no number, ValueError when they are out of range."""
    given: object = timeout
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {type(given).__name__}")
    if not 0 < timeout <= at_most:  # NaN is in no range
        raise ValueError(f"timeout must be more than 0 and at most {at_most} seconds, not {timeout!r}")
    return timeout


def checked_wait(timeout: float | None) -> float | None:
    """The seconds of a wait or a watch; None for no end. TypeError or ValueError as for a call."""
    return None if timeout is None else checked_timeout(timeout, WAIT_SECONDS_MAX)


def checked_on_failure(on_failure: OnFailure) -> OnFailure:
    """What a failure becomes. ValueError when it is no such thing."""
    if on_failure not in {"deny", "raise"}:
        raise ValueError(f"on_failure must be 'deny' or 'raise', not {on_failure!r}")
    return on_failure


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a call gets when it does not say otherwise: seconds for all its tries, and what a failure becomes."""

    timeout: float
    on_failure: OnFailure

    def __post_init__(self) -> None:
        checked_timeout(self.timeout)
        checked_on_failure(self.on_failure)

    def seconds(self, timeout: float | None) -> float:
        """Those of one call. TypeError when they are no number, ValueError when they are out of range."""
        return self.timeout if timeout is None else checked_timeout(timeout)

    def failing(self, on_failure: OnFailure | None) -> OnFailure:
        """What a failure of one call becomes. ValueError when it is no such thing."""
        return self.on_failure if on_failure is None else checked_on_failure(on_failure)
