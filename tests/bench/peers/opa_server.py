"""OPA alone over REST: with a policy of a few lines, with its decision log, or with Placet's own policy."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet.policy.toolchain.binary import find_opa
from tests.bench import raw_load
from tests.bench.peers.processes import running
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.load import Load
    from tests.bench.opa_query import Query
    from tests.bench.peers.question import Question
    from tests.bench.raw_load import Sending

POLICY: Final = Path(__file__).with_name("opa")
PATH: Final = "/v1/data/peers/refund/allow"


@dataclass(frozen=True, slots=True)
class OpaServer:
    """A running OPA."""

    port: int

    def ask(self, question: Question) -> bool:
        """Return whether the policy of a few lines allows the refund."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", PATH, body(question))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return bool(answer["result"])

    def post(self, question: Question, sending: Sending) -> Load:
        """Send the question by loadgen to the policy of a few lines."""
        return raw_load.send("http", self._url(PATH), "", sending, body(question), '"result":true')

    def post_query(self, query: Query, sending: Sending) -> Load:
        """Send a recorded query of Placet by loadgen."""
        content = b'{"input":%b}' % query.input.read_bytes()
        path = "/v1/" + query.reference.replace(".", "/")
        return raw_load.send("http", self._url(path), "", sending, content, raw_load.ALLOWED)

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def body(question: Question) -> bytes:
    """Return the question as a request of OPA's REST API."""
    return json.dumps({"input": question.document()}).encode()


@contextlib.contextmanager
def opa(log: Path, policy: Path = POLICY, more: Sequence[str] = ()) -> Iterator[OpaServer]:
    """Run OPA with a policy folder or bundle, for the duration of the block. `log` receives what it prints."""
    port = free_port()
    loaded = ["--bundle", str(policy)] if policy.is_file() else [str(policy)]
    command = [str(find_opa().path), "run", "--server", "--addr", f"127.0.0.1:{port}", "--skip-version-check"]
    with running([*command, "--log-level", "error", *more, *loaded], port, log):
        yield OpaServer(port)
