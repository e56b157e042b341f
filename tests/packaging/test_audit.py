"""`make audit` asks OSV about every locked package. Here a server on this machine answers in place of OSV."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.packaging.environments import ROOT
from tests.packaging.test_locks import pins

if TYPE_CHECKING:
    from collections.abc import Iterator

VULNERABLE = "msgspec"
ADVISORY = {
    "id": "GHSA-test",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "a test",
    "affected": [
        {
            "package": {"name": VULNERABLE, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


class Osv(ThreadingHTTPServer):
    """Answers queries, and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: dict[str, str] = {}
        self.vulnerable = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class _Answer(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        query: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = query["package"]["name"]
        self.server.asked[name] = query["version"]
        body = json.dumps({"vulns": [ADVISORY]} if name == self.server.vulnerable else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        del format, args


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "deploy/tools/audit.py"), "--osv-url", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_every_locked_package_is_looked_up(osv: Osv) -> None:
    ran = audit(osv.url)
    assert ran.returncode == 0, ran.stderr
    locked = pins("requirements.lock")
    assert osv.asked.items() <= locked.items()
    assert len(osv.asked) > len(locked) - 5, "those for other systems are left out"
    assert ran.stdout == f"audit: {len(osv.asked)} packages, 0 known vulnerabilities\n"


def test_a_vulnerability_is_listed_and_fails(osv: Osv) -> None:
    osv.vulnerable = VULNERABLE
    ran = audit(osv.url)
    assert ran.returncode == 1, ran.stderr
    assert f"{VULNERABLE} {pins('requirements.lock')[VULNERABLE]}: GHSA-test, fixed in 99.0\n" in ran.stdout
    assert "1 known vulnerabilities" in ran.stdout


def test_without_the_network_nothing_is_known() -> None:
    ran = audit("http://127.0.0.1:9/v1/query")
    assert ran.returncode == 3
    assert ran.stdout == ""
    assert ran.stderr.startswith("audit: no package was looked up: ")
    assert "Remedy: run it where the network reaches OSV" in ran.stderr
