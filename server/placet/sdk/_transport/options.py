"""How clients connect, and what each call is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from placet.sdk.defaults import CALL_SECONDS_MAX, DEFAULT_ADDRESS, WAIT_SECONDS_MAX, OnFailure

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


PORT_MAX: Final = 65_535
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:]+):([0-9]+)")
"""The host is judged by whoever resolves it."""


def validate_address(address: str) -> str:
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


def validate_timeout(timeout: float, at_most: float = CALL_SECONDS_MAX) -> float:
    """The seconds of a call. TypeError when they are no number, ValueError when they are out of range."""
    given: object = timeout
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {type(given).__name__}")
    if not 0 < timeout <= at_most:  # NaN is in no range
        raise ValueError(f"timeout must be more than 0 and at most {at_most} seconds, not {timeout!r}")
    return timeout


def validate_wait(timeout: float | None) -> float | None:
    """The seconds of a wait or a watch; None for no end. TypeError or ValueError as for a call."""
    return None if timeout is None else validate_timeout(timeout, WAIT_SECONDS_MAX)


def validate_on_failure(on_failure: OnFailure) -> OnFailure:
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
        validate_timeout(self.timeout)
        validate_on_failure(self.on_failure)

    def seconds(self, timeout: float | None) -> float:
        """Those of one call. TypeError when they are no number, ValueError when they are out of range."""
        return self.timeout if timeout is None else validate_timeout(timeout)

    def failing(self, on_failure: OnFailure | None) -> OnFailure:
        """What a failure of one call becomes. ValueError when it is no such thing."""
        return self.on_failure if on_failure is None else validate_on_failure(on_failure)
