"""Receivers of webhooks, which are real servers on loopback with different behaviour, and an outbox in memory."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from placet.notifications.delivery import new_delivery
from placet.notifications.payload import WebhookEvent, WebhookType
from tests.support.ports import free_port
from tests.support.replacing import replace

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

    from placet.kernel.state import Row, RowKey, StateTable

NOW_US: Final = 1_777_055_581_000_000
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - from the tests of the specification
OTHER_SECRET: Final = "whsec_cGxlYXNlIG1ha2Ugb25lIG9mIHlvdXIgb3du"  # noqa: S105 - an example


def event(number: int = 1, kind: WebhookType = WebhookType.CREATED, tenant: str = "acme") -> WebhookEvent:
    return WebhookEvent(
        type=kind,
        time_us=NOW_US,
        tenant=tenant,
        approval_id=f"apr_{number:032x}",
        decision_id=f"dec_{number:032x}",
        tool="stripe.refund",
        agent="refund-agent",
        user="u_1",
        state="pending",
        quorum=2,
        expires_at_us=NOW_US + 3_600_000_000,
        rule_id="refunds.large",
    )


@dataclass
class MemoryRows:
    """The outbox rows of one ledger."""

    rows: dict[RowKey, Row] = field(default_factory=dict)
    before_write: Callable[[], None] | None = None  # called once, before the next write
    error: Exception | None = None  # raised by each read and write

    def add(self, *events: WebhookEvent) -> None:
        for added in events:
            row = new_delivery(added)
            self.rows[row.key] = replace(row, version=1)

    def statuses(self) -> list[str]:
        return [row.status for row in self.rows.values()]

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        if self.error is not None:
            raise self.error
        due = [row for key, row in self.rows.items() if key.table is table and 0 < row.due_at_us <= now_us]
        return sorted(due, key=lambda row: row.due_at_us)[:limit]

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        if self.error is not None:
            raise self.error
        if self.before_write is not None:
            callback, self.before_write = self.before_write, None
            callback()
        return [self._put(row) for row in rows]

    def _put(self, row: Row) -> bool:
        if self.rows[row.key].version != row.version:
            return False
        self.rows[row.key] = replace(row, version=row.version + 1)
        return True


@dataclass
class ReceivedRequest:
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


Reply = tuple[int, dict[str, str], bytes]
OK: Final[Reply] = (200, {}, b"")


class Receiver(ThreadingHTTPServer):
    """A server that answers the first requests with `replies`, later ones with 200. Calls `on_request` before each."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *replies: Reply, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[ReceivedRequest] = []
        self.replies = list(replies)
        self.guard = threading.Lock()
        self.on_request: Callable[[], None] | None = None
        super().__init__(("127.0.0.1", 0), _Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?from=placet"

    def reply_to(self, request: ReceivedRequest) -> Reply:
        if self.on_request is not None:
            self.on_request()
        with self.guard:
            self.requests.append(request)
            return self.replies.pop(0) if self.replies else OK

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore senders that hang up."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, content = self.server.reply_to(ReceivedRequest(self.path, dict(self.headers.items()), body))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextlib.contextmanager
def receiving(*replies: Reply, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    with Receiver(*replies, context=context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Dripping(socketserver.BaseRequestHandler):
    """Sends `Dripper.drop` again and again until the sender hangs up."""

    def handle(self) -> None:
        assert isinstance(self.server, Dripper)
        with contextlib.suppress(OSError):
            self.request.settimeout(0.02)
            while True:
                with contextlib.suppress(TimeoutError):
                    if not self.request.recv(65_536):
                        break
                self.request.sendall(self.server.drop)
        self.server.hung_up.set()


class Dripper(socketserver.ThreadingTCPServer):
    """A server that sends `drop` forever, or with b"" never answers. `hung_up` is set when the sender has hung up."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, drop: bytes) -> None:
        self.drop = drop
        self.hung_up = threading.Event()
        super().__init__(("127.0.0.1", 0), _Dripping)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


@contextlib.contextmanager
def dripping(drop: bytes) -> Iterator[Dripper]:
    with Dripper(drop) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def unreachable() -> str:
    """Return a URL of a port on which no server listens."""
    return f"http://127.0.0.1:{free_port()}/"
