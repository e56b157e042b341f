"""`placet tokens`: in a database without a server, and by a server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from placet.cli.rendering import exit_codes
from placet.tokens.secret import is_well_formed, new_token
from tests.authentication.token_servers import token_settings
from tests.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet

ADMIN = ("--role", "admin", "--tenant", "*")
RUNTIME = ("--role", "agent_runtime", "--tenant", "acme", "--agent", "support-*")


def test_stdout_has_the_secret_alone(placet: Placet, tmp_path: Path) -> None:
    made = placet("tokens", "create", "root", *ADMIN, "--data-dir", tmp_path / "data")
    assert made.code == 0
    assert is_well_formed(made.out.removesuffix("\n"))
    assert made.err.startswith("tok_")
    assert f" in {tmp_path / 'data'} expires at " in made.err
    assert made.out.strip() not in made.err


def test_tokens_of_a_database(placet: Placet, tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    person = ("--person", "Dana@Example.com", "--person-role", "support_lead", "--expires-days", "7")
    made = placet("tokens", "create", "dana", "--role", "approver", "--tenant", "acme", *person, *data, "-o", "json")
    token = made.document["token"]
    assert is_well_formed(made.document["secret"])
    assert (token["person"], token["person_roles"]) == ("dana@example.com", ["support_lead"])
    [listed] = placet("tokens", "list", *data, "-o", "json").document["tokens"]
    assert listed == token
    shown = placet("tokens", "list", *data).out
    assert "approver in acme" in shown
    assert made.document["secret"] not in shown
    assert placet("tokens", "revoke", token["id"], "--reason", "lost", *data).out == f"{token['id']} is revoked\n"
    assert placet("tokens", "list", *data, "-o", "json").document == {"tokens": []}
    assert placet("tokens", "revoke", token["id"], "--reason", "again", *data).code == exit_codes.USAGE
    verified = placet("audit", "verify", "--state", *data)
    assert verified.code == 0, verified.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--role", "agent_runtime", "--tenant", "*", "--agent", "a"), "is not for the role agent_runtime"),
        (("--role", "agent_runtime", "--tenant", "acme"), "--agent is required for --role agent_runtime"),
        (("--role", "approver", "--tenant", "acme"), "--person is required for --role approver: only people vote"),
        (("--role", "auditor", "--tenant", "acme", "--agent", "a"), "--agent and --user are for --role agent_runtime"),
        (("--role", "auditor", "--tenant", "acme", "--expires-days", "366"), "365"),
        (("--role", "auditor", "--tenant", "acme", "--expires-days", "0"), "equal to 1"),
        (("--role", "king", "--tenant", "acme"), "king"),
        (("--role", "auditor"), "--tenant"),
        (("--role", "auditor", "--tenant", "Acme"), "[a-z0-9_-]"),
    ],
)
def test_wrong_arguments(placet: Placet, tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    refused = placet("tokens", "create", "x", *arguments, "--data-dir", tmp_path / "data")
    assert (refused.code, refused.out) == (exit_codes.USAGE, "")
    assert text in refused.err


def test_revoking_takes_the_id_and_does_not_repeat_a_token(placet: Placet, tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    secret = placet("tokens", "create", "root", *ADMIN, *data).out.strip()
    refused = placet("tokens", "revoke", secret, "--reason", "found in a log", *data)
    assert refused.code == exit_codes.USAGE
    assert "write - and pass it on standard input, or name its id, tok_..." in refused.err
    assert secret not in refused.out + refused.err


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let standard input have a text."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_leaked_token_of_unknown_id_is_revoked(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ("--data-dir", tmp_path / "data")
    leaked, kept = (
        placet("tokens", "create", name, *ADMIN, *data, "-o", "json").document for name in ("leaked", "kept")
    )
    types(monkeypatch, leaked["secret"] + "\n")
    ran = placet("tokens", "revoke", "-", "--reason", "found in a log", *data)
    assert (ran.code, ran.out) == (0, f"{leaked['token']['id']} is revoked\n")
    assert placet("tokens", "list", *data, "-o", "json").document == {"tokens": [kept["token"]]}
    types(monkeypatch, leaked["secret"])
    again = placet("tokens", "revoke", "-", "--reason", "again", *data)
    assert (again.code, "no access token has this text" in again.err) == (exit_codes.USAGE, True)
    assert leaked["secret"] not in ran.err + again.err


@pytest.mark.parametrize("cut", [slice(0, -1), slice(1, None), slice(0, 0)])
def test_a_token_that_was_cut_off_is_not_looked_for(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: slice
) -> None:
    secret = new_token()[cut]
    types(monkeypatch, secret + "\n")
    ran = placet("tokens", "revoke", "-", "--reason", "x", "--data-dir", tmp_path / "data")
    assert (ran.code, "pass its 56 characters alone on the first line" in ran.err) == (exit_codes.USAGE, True)
    assert not secret or secret not in ran.err
    assert not (tmp_path / "data").exists()


def test_a_tenant_that_no_policy_knows_is_a_warning(placet: Placet, tmp_path: Path, empty_folder: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    assert "warning" not in placet("tokens", "create", "x", "--role", "auditor", "--tenant", "acm", *data).err
    config = empty_folder / "rego" / "config"
    config.mkdir(parents=True)
    (config / "acme.yaml").touch()
    made = placet("tokens", "create", "x", "--role", "auditor", "--tenant", "acm", "--tenant", "acme", *data)
    assert (made.code, is_well_formed(made.out.strip())) == (0, True)
    assert "placet: warning: tenant 'acm' has no policy file; did you mean acme?\n" in made.err
    assert made.err.count("warning") == 1
    assert "warning" not in placet("tokens", "create", "x", *ADMIN, *data).err


def test_by_a_server(placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = token_settings(tmp_path / "data")
    admin = placet("tokens", "create", "root", *ADMIN, "--data-dir", chosen.data_dir).out.strip()
    with serving(chosen) as server:
        at = ("--address", server.address)
        denied = placet("tokens", "list", *at)
        assert (denied.code, "PLACET_TOKEN" in denied.err) == (exit_codes.CHECK_FAILED, True)
        monkeypatch.setenv("PLACET_TOKEN", admin)
        runtime = placet("tokens", "create", "runtime", *RUNTIME, "--user", "trusted", *at)
        assert runtime.code == 0, runtime.err
        tokens = placet("tokens", "list", *at, "-o", "json").document["tokens"]
        assert (tokens[0]["name"], tokens[0]["created_by"]) == ("runtime", "token:root")
        assert placet("tokens", "list", "--tenant", "acme", *at).out.count("tok_") == 1
        switch = placet("kill-switches", "set", "--tool", "x.y", "--reason", "a test", *at)
        assert (switch.code, "token:root" in switch.out) == (0, True), switch.err
        typo = placet("tokens", "create", "typo", "--role", "auditor", "--tenant", "acm", *at)
        assert "warning: tenant 'acm' has no policy file; did you mean acme?" in typo.err
        types(monkeypatch, typo.out)
        leaked = placet("tokens", "revoke", "-", "--reason", "leaked", *at)
        assert (leaked.code, leaked.out.startswith("tok_")) == (0, True), leaked.err
        types(monkeypatch, typo.out)
        assert "no access token has this text" in placet("tokens", "revoke", "-", "--reason", "again", *at).err
        assert placet("tokens", "revoke", tokens[0]["id"], "--reason", "done", *at).code == 0
        monkeypatch.setenv("PLACET_TOKEN", runtime.out.strip())
        decided = placet("authorize", "--tool", "kb.search", "--tenant", "acme", "--agent", "support-1", *at)
        assert "unknown or was revoked" in decided.err + decided.out
        busy = placet("tokens", "list", "--data-dir", chosen.data_dir)
        assert busy.code == exit_codes.USAGE
        assert admin not in busy.err + decided.err + denied.err
