"""Receivers of webhooks: real servers on loopback, each with its manners; and an outbox in memory."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from placet.notifications.delivery import new_delivery
from placet.notifications.payload import WebhookEvent, WebhookType

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

    from placet.kernel.state import Row, RowKey, StateTable

NOW_US: Final = 1_777_055_581_000_000
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the one of the specification's tests
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
    """The rows of one ledger. `meanwhile` is called once, between a look and the write that follows."""

    rows: dict[RowKey, Row] = field(default_factory=dict)
    meanwhile: Callable[[], None] | None = None
    fault: Exception | None = None

    def add(self, *events: WebhookEvent) -> None:
        for each in events:
            row = new_delivery(each)
            self.rows[row.key] = replace(row, version=1)

    def statuses(self) -> list[str]:
        return [row.status for row in self.rows.values()]

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        if self.fault is not None:
            raise self.fault
        due = [row for key, row in self.rows.items() if key.table is table and 0 < row.due_at_us <= now_us]
        return sorted(due, key=lambda row: row.due_at_us)[:limit]

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        if self.fault is not None:
            raise self.fault
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return [self._put(row) for row in rows]

    def _put(self, row: Row) -> bool:
        if self.rows[row.key].version != row.version:
            return False
        self.rows[row.key] = replace(row, version=row.version + 1)
        return True


@dataclass
class Came:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


Reply = tuple[int, dict[str, str], bytes]
OK: Final[Reply] = (200, {}, b"")


class Receiver(ThreadingHTTPServer):
    """Answers the first replies in order, then 200; keeps what came. `on_request` is called before each."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *replies: Reply, context: ssl.SSLContext | None = None) -> None:
        self.came: list[Came] = []
        self.replies = list(replies)
        self.guard = threading.Lock()
        self.on_request: Callable[[], None] | None = None
        super().__init__(("127.0.0.1", 0), _Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?from=placet"

    def reply_to(self, came: Came) -> Reply:
        if self.on_request is not None:
            self.on_request()
        with self.guard:
            self.came.append(came)
            return self.replies.pop(0) if self.replies else OK

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that hangs up is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, content = self.server.reply_to(Came(self.path, dict(self.headers.items()), body))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


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
    """Says a little again and again, and never all, until the other side hangs up."""

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
    """Sends `drop` for ever; b"" only takes the request and hangs. `hung_up` is set when the sender went."""

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


def nobody() -> str:
    """A URL where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"
