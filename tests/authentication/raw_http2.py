"""A client that writes the frames of HTTP/2 itself: it sends headers that no gRPC client sends."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SECONDS: Final = 10.0
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_STREAM: Final = 1
_PREFIX_MAX: Final = 127
_HEAD_BYTES: Final = 9

Header = tuple[bytes, bytes]


def call(address: str, path: str, message: bytes, headers: Iterable[Header]) -> str:
    """Make a unary call with these headers after gRPC's own; return how the server ended it.

    ``answered`` for an answer with data, ``status`` for one without, ``reset`` or ``closed`` if there was none.
    """
    host, _, port = address.rpartition(":")
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *headers,
    ]
    body = b"\0" + struct.pack(">I", len(message)) + message
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        connection.sendall(
            PREFACE
            + _frame(_SETTINGS, 0, b"", stream=0)
            + _frame(_HEADERS, _END_HEADERS, b"".join(_literal(*field) for field in fields))
            + _frame(_DATA, _END_STREAM, body)
        )
        return _end_of(connection)


def _end_of(connection: socket.socket) -> str:
    answered = False
    with contextlib.suppress(ConnectionError):
        while head := _read(connection, _HEAD_BYTES):
            size = int.from_bytes(head[:3], "big")
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            content = _read(connection, size)
            if kind == _PING and not flags & _ACK:
                connection.sendall(_frame(_PING, _ACK, content, stream=0))
            if kind == _SETTINGS and not flags & _ACK:
                connection.sendall(_frame(_SETTINGS, _ACK, b"", stream=0))
            if kind == _GOAWAY:
                return "closed"
            if stream != _STREAM:
                continue
            answered |= kind == _DATA and size > 0
            if kind == _RST_STREAM:
                return "reset"
            if kind in {_HEADERS, _DATA} and flags & _END_STREAM:
                return "answered" if answered else "status"
    return "closed"


def _frame(kind: int, flags: int, content: bytes, stream: int = _STREAM) -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a header as HPACK writes it without compression, and without a place in the table."""
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    """Return a text with its length: 7 bits, and then 7 bits in each byte."""
    if len(text) < _PREFIX_MAX:
        return bytes([len(text)]) + text
    rest, size = len(text) - _PREFIX_MAX, bytearray([_PREFIX_MAX])
    while rest > _PREFIX_MAX:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*size, rest]) + text


def _read(connection: socket.socket, size: int) -> bytes:
    """Return so many bytes; fewer if the connection ended."""
    content = b""
    while len(content) < size:
        chunk = connection.recv(size - len(content))
        if not chunk:
            return b""
        content += chunk
    return content
