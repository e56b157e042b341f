"""`placet policy status` against a whole server: real OPA, real SQLite."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from placet.cli import exit_codes
from placet.sdk import ControlClient
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Placet
    from tests.serving import Server

PACK = "policy/refunds/refunds.rego"
WITHIN_SECONDS = 30.0
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    chosen = settings(tmp_path)
    git = chosen.rego_dir / ".git"
    git.mkdir()
    (git / "HEAD").write_text(COMMIT)
    with serving(chosen) as server:
        monkeypatch.setenv("PLACET_ADDRESS", server.address)
        yield server


def eventually(condition: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextlib.contextmanager
def spoilt(server: Server) -> Iterator[Path]:
    """A pack that is broken in its last line, once the server has refused it."""
    pack = server.data_dir / "rego" / PACK
    whole = pack.read_text()
    pack.write_text(f"{whole}\nbroken\n")
    with ControlClient(server.address) as control:
        eventually(lambda: control.policy_status().last_error)
        yield pack
        pack.write_text(whole)
        eventually(lambda: not control.policy_status().last_error)


def test_what_is_served(placet: Placet, served: Server) -> None:
    revision = served.running.policies.status().revision
    ran = placet("policy", "status")
    assert (ran.code, ran.err) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert (shown["serving"], shown["policy_revision"], shown["git_commit"]) == ("yes", revision, COMMIT)
    assert (shown["newest"], shown["tenants"]) == ("served", "acme, globex, initech")
    assert shown["since"].startswith("20")
    document = placet("policy", "status", "-o", "json").document
    assert (document["policy_revision"], document["problems"], document["stale"]) == (revision, [], False)
    assert document["serving"]


def test_what_was_refused_where_and_since_when(placet: Placet, served: Server) -> None:
    revision = served.running.policies.status().revision
    with spoilt(served) as pack:
        line = len(pack.read_text().splitlines())
        ran = placet("policy", "status")
        document = placet("policy", "status", "-o", "json").document
    assert ran.code == exit_codes.WANTING
    shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert (shown["serving"], shown["policy_revision"]) == ("yes", revision)
    assert shown["this_decides"] == "until a newer one is accepted"
    assert shown["refused_since"].startswith("20")
    assert f"{pack}:{line}" in ran.err
    assert (document["policy_revision"], document["decides_until"]) == (revision, "")
    assert any(f"{pack}:{line}" in each for each in document["problems"])
    assert placet("policy", "status").code == 0


def test_of_nobody(placet: Placet, nobody: str) -> None:
    ran = placet("policy", "status", "--address", nobody, "--timeout", "0.5")
    assert ran.code == exit_codes.NO_DECISION
    assert ran.complaint
