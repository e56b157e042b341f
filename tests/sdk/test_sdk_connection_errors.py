"""A failed connection is described in one short sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.sdk import Action, Client, Identity
from placet.sdk._transport.connection_errors import describe_connection_error

if TYPE_CHECKING:
    from tests.sdk.scripted_server import ScriptedServer

ALL = "failed to connect to all addresses; last error: "
SENTENCES = [
    (
        ALL + "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
        "the connection to 127.0.0.1:1 was refused",
    ),
    (
        ALL + "UNKNOWN: ipv6:%5B::1%5D:7070: Failed to connect to remote host: Connection refused",
        "the connection to [::1]:7070 was refused",
    ),
    (
        ALL + "UNKNOWN: unix:/run/placet.sock: Failed to connect to remote host: No such file or directory",
        "the socket /run/placet.sock does not exist",
    ),
    (ALL + "UNAVAILABLE: ipv4:10.0.0.1:7070: Socket closed", "the connection to 10.0.0.1:7070 was closed"),
    (
        ALL
        + "INTERNAL: ipv4:10.0.0.1:80: Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame, got frame "
        "type 80) (Trying to connect an http1.x server (HTTP status 400))",
        "the server at 10.0.0.1:80 does not speak gRPC",
    ),
    (
        "errors resolving nosuch.invalid:7070: [field:hostname lookup error: Domain name not found]",
        "the host name nosuch.invalid cannot be resolved",
    ),
    (
        ALL + "UNKNOWN: ipv4:10.0.0.1:7070: Custom verification check failed with error: UNAUTHENTICATED: Hostname "
        "Verification Check failed.",
        "the certificate of 10.0.0.1:7070 is for another host; use the host that it names",
    ),
    (
        ALL + "UNAVAILABLE: ipv4:10.0.0.1:7070: Did not receive HTTP/2 settings before handshake timeout",
        "the connection to 10.0.0.1:7070 timed out",
    ),
    ("the server is shutting down", "the server is shutting down"),
    (ALL + "UNKNOWN: ipv4:10.0.0.1:7070: something new", ALL + "UNKNOWN: ipv4:10.0.0.1:7070: something new"),
]


@pytest.mark.parametrize(("text", "sentence"), SENTENCES)
def test_the_text_of_grpc_becomes_one_short_sentence(text: str, sentence: str) -> None:
    assert describe_connection_error(text) == sentence


def test_no_server_listens(unused_address: str) -> None:
    with Client(unused_address, timeout=0.5) as client:
        failure = client.authorize(Action("t"), Identity("a", "t")).failure
    assert failure is not None
    assert failure.detail == f"the connection to {unused_address} was refused"
    assert str(failure) == f"Placet cannot be reached: the connection to {unused_address} was refused"


def test_a_server_that_stopped(server: ScriptedServer) -> None:
    with Client(server.address, timeout=1) as client:
        client.authorize(Action("t"), Identity("a", "t"))
        server.stop()
        failure = client.authorize(Action("t"), Identity("a", "t")).failure
    assert failure is not None
    assert failure.detail.startswith(f"the connection to {server.address} was ")
