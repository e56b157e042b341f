"""Options of a gRPC channel, and the checks of what a caller passes to a client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from placet.sdk.defaults import CALL_SECONDS_MAX, DEFAULT_ADDRESS, WAIT_SECONDS_MAX

if TYPE_CHECKING:
    from placet.sdk.defaults import OnFailure, Transport

Metadata = tuple[tuple[str, str], ...]
"""Metadata of a call: pairs of key and value."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""Maximum size of one response. A page of 500 decisions, each with its policy input, fits."""
KEEPALIVE_MS: Final = 10_000
"""Interval of keepalive pings, in milliseconds: below the idle timeout of common NATs, and permitted by the server."""
KEEPALIVE_TIMEOUT_MS: Final = 5_000
"""Milliseconds to wait for the answer to a ping. After that, gRPC opens a new connection."""

OPTIONS: Final = (
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # also for gRPC's bandwidth pings, whose default is 60 s
    ("grpc.keepalive_permit_without_calls", 1),  # otherwise the first call after a pause meets the dead connection
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),  # http_proxy must not be able to redirect authorization calls
    ("grpc.initial_reconnect_backoff_ms", 50),  # short, so that a retry reaches a server that restarted
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

PORT_MAX: Final = 65_535
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:]+):([0-9]+)")
"""Any host name is accepted: the resolver decides whether it exists."""
_UNIX_ADDRESS: Final = re.compile(r"unix:(?://)?(?:/[A-Za-z0-9._@+-]+)+")


def is_unix(address: str) -> bool:
    """Return whether the address is that of a unix socket, ``unix:/path`` or ``unix:///path``."""
    return _UNIX_ADDRESS.fullmatch(address) is not None


def validate_address(address: str) -> str:
    """Return the address if it has the form ``host:port`` or ``unix:/path``.

    Raises TypeError if it is not text, ValueError if it has another form.
    """
    value: object = address
    if not isinstance(value, str):
        raise TypeError(f"address must be text, host:port, not {type(value).__name__}")
    if is_unix(address):
        return address
    match = _ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match[1]) <= PORT_MAX:
        raise ValueError(
            f"address must be host:port with a port of 1 to {PORT_MAX}, such as {DEFAULT_ADDRESS}, "
            f"placet.internal:7070 or [::1]:7070, or unix:/path, not {address!r}"
        )
    return address


def validate_timeout(timeout: float, maximum: float = CALL_SECONDS_MAX) -> float:
    """Return the timeout in seconds if it is more than 0 and at most `maximum`.

    Raises TypeError if it is not a number, ValueError if it is out of range.
    """
    value: object = timeout
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {type(value).__name__}")
    if not 0 < timeout <= maximum:  # also rejects NaN
        raise ValueError(f"timeout must be more than 0 and at most {maximum} seconds, not {timeout!r}")
    return timeout


def validate_wait(timeout: float | None) -> float | None:
    """Return the timeout of a wait or a watch, in seconds. None means no limit. Raises as `validate_timeout` does."""
    return None if timeout is None else validate_timeout(timeout, WAIT_SECONDS_MAX)


def validate_on_failure(on_failure: OnFailure) -> OnFailure:
    """Return `on_failure` if it is ``"deny"`` or ``"raise"``. Raises ValueError otherwise."""
    if on_failure not in {"deny", "raise"}:
        raise ValueError(f"on_failure must be 'deny' or 'raise', not {on_failure!r}")
    return on_failure


def validate_transport(transport: Transport) -> Transport:
    """Return `transport` if it is ``"unary"`` or ``"stream"``. Raises ValueError otherwise."""
    if transport not in {"unary", "stream"}:
        raise ValueError(f"transport must be 'unary' or 'stream', not {transport!r}")
    return transport
