"""`placet policy status` against a whole server: real OPA, real SQLite."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from placet.cli.rendering import exit_codes
from placet.revisions.status import SlowPack
from placet.sdk import ControlClient
from tests.serving import serving, settings
from tests.support.replacing import replace

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
    """Break the last line of a pack and wait until the server refuses it."""
    pack = server.data_dir / "rego" / PACK
    whole = pack.read_text()
    pack.write_text(f"{whole}\nbroken\n")
    with ControlClient(server.address) as control:
        eventually(lambda: control.policy_status().last_error)
        yield pack
        pack.write_text(whole)
        eventually(lambda: not control.policy_status().last_error)


def test_status_of_the_served_policy(placet: Placet, served: Server) -> None:
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


def test_status_of_a_refused_policy(placet: Placet, served: Server) -> None:
    revision = served.running.policies.status().revision
    with spoilt(served) as pack:
        line = len(pack.read_text().splitlines())
        ran = placet("policy", "status")
        document = placet("policy", "status", "-o", "json").document
    assert ran.code == exit_codes.CHECK_FAILED
    shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert (shown["serving"], shown["policy_revision"]) == ("yes", revision)
    assert shown["served_decides"] == "until a newer one is accepted"
    assert shown["refused_since"].startswith("20")
    assert f"{pack}:{line}" in ran.err
    assert (document["policy_revision"], document["decides_until"]) == (revision, "")
    assert any(f"{pack}:{line}" in each for each in document["problems"])
    assert placet("policy", "status").code == 0


@contextlib.contextmanager
def cut(server: Server) -> Iterator[str]:
    """Truncate a tenant's file and wait until the server holds it; yield the held revision."""
    file = server.data_dir / "rego" / "config" / "acme.yaml"
    whole = file.read_bytes()
    file.write_bytes(whole.partition(b"  destinations:")[0])
    with ControlClient(server.address) as control:
        eventually(lambda: control.policy_status().held_revision)
        yield control.policy_status().held_revision
        file.write_bytes(whole)
        eventually(lambda: not control.policy_status().held_revision)


def test_a_held_policy_is_confirmed(placet: Placet, served: Server) -> None:
    before = served.running.policies.status().revision
    with cut(served) as held:
        ran = placet("policy", "status")
        assert ran.code == exit_codes.CHECK_FAILED
        shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
        assert (shown["policy_revision"], shown["held_revision"]) == (before, held)
        assert shown["served_decides"] == f"until you run: placet policy confirm {held} --reason TEXT"
        assert shown["held_since"].startswith("20")
        assert "acme.yaml: lost restrictions: destinations" in ran.err
        document = placet("policy", "status", "-o", "json").document
        assert (document["held_revision"], document["problems"]) == (held, [])
        why = ("--reason", "acme leaves 4012888888881881", "--as", "ann")
        wrong = placet("policy", "confirm", "0" * 32, *why)
        assert (wrong.code, f"the held revision is {held}" in wrong.err) == (exit_codes.CHECK_FAILED, True)
        assert served.running.policies.status().revision == before
        short = placet("policy", "confirm", held[:7], *why)
        assert f"{held[:7]} is too short; give at least 8 characters of the revision" in short.err
        assert (short.code, "see `placet policy status` (NOT_FOUND)" in short.err) == (exit_codes.CHECK_FAILED, True)
        ran = placet("policy", "confirm", held[:8], *why)
        assert (ran.code, ran.out, ran.err) == (0, f"{held} is confirmed and decides\n", "")
        assert placet("policy", "status").code == 0
        assert served.running.policies.status().revision == held
    [record] = served.records("policy.confirmed")
    assert (record["body"]["policy_revision"], record["body"]["served_revision"]) == (held, before)
    assert record["parts"]["control"]["actor"] == "ann"
    assert record["parts"]["control"]["reason"].startswith("acme leaves")
    assert "4012888888881881" not in str(record)
    assert any("destinations" in lost for lost in record["parts"]["control"]["lost"])
    [record] = served.records("policy.held")
    assert (record["body"]["policy_revision"], record["body"]["held_revision"]) == (before, held)
    targets = {record["parts"]["control"]["target"] for record in served.records("control.refused")}
    assert targets == {"0" * 32, held[:7]}
    logged = placet(
        "audit", "events", "--kind", "policy.confirmed", "--data-dir", served.data_dir, "-o", "json"
    ).document
    assert len(logged["records"]) == 1
    assert placet("audit", "verify", "--state", "--data-dir", served.data_dir).code == 0


def test_confirm_needs_a_reason(placet: Placet, served: Server) -> None:
    del served
    assert placet("policy", "confirm", "r").code == exit_codes.USAGE
    assert placet("policy", "confirm", "r", "--reason", "", "--as", "ann").code == exit_codes.USAGE
    ran = placet("policy", "confirm", "r", "--reason", "x", "--as", "ann")
    assert "revision r is not held; no revision is held" in ran.err


def test_status_without_a_server(placet: Placet, unused_address: str) -> None:
    ran = placet("policy", "status", "--address", unused_address, "--timeout", "0.5")
    assert ran.code == exit_codes.NO_DECISION
    assert ran.complaint


def test_status_names_slow_packs(placet: Placet, served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    policies = served.running.policies
    slow = SlowPack("policy.refunds", "stripe.refund", "acme", 0.25, ended=False, input_bytes=20_480)
    status = replace(policies.status(), slow_packs=(slow,))
    monkeypatch.setattr(type(policies), "status", lambda _self: status)
    shown = dict(line.split(maxsplit=1) for line in placet("policy", "status").out.splitlines())
    assert shown["slow_packs"] == "policy.refunds took over 250 ms for stripe.refund of acme (20480 bytes)"
    [document] = placet("policy", "status", "-o", "json").document["slow_packs"]
    assert (document["pack"], document["milliseconds"], document["ended"]) == ("policy.refunds", 250.0, False)
