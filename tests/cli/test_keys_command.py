"""`placet keys`: on the files of a data directory, beside a server that may run."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from placet.cli.rendering import exit_codes
from placet.kernel.limits import PERMIT_KEY_LEAD_SECONDS, PERMIT_KEY_OVERLAP_SECONDS
from placet.server.settings.judged import judged_settings
from placet.server.settings.model import Settings
from placet.signing.permit_keys import open_permit_keys, rotate_permit_key
from placet.v1 import control_pb2, key_pb2
from tests.keys.key_env import kek

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet
    from tests.sdk.scripted_server import ScriptedServer


@pytest.fixture
def folder(empty_folder: Path) -> Path:
    """The permit keys of the default data directory: one."""
    keys = empty_folder / ".placet/keys/permits"
    open_permit_keys(keys, int(time.time()) - 10)
    return keys


def test_a_rotation_is_listed_before_it_signs(placet: Placet, folder: Path) -> None:
    made = placet("keys", "rotate", "-o", "json").document
    assert made["state"] == "waits"
    first, second = placet("keys", "list", "-o", "json").document
    assert (first["state"], second) == ("signs", made)
    assert first["signs_until"] == second["signs_from"]
    assert (second["signs_until"], second["verifies_until"]) == ("", "")
    newest = max(int(path.stem) for path in folder.iterdir())
    assert 0 <= newest - time.time() <= PERMIT_KEY_LEAD_SECONDS
    assert made["key_id"] in placet("keys", "list").out


def test_a_rotation_at_once(placet: Placet, folder: Path) -> None:
    shown = placet("keys", "rotate", "--after", "0")
    assert (shown.code, shown.err) == (0, "")
    assert "signs" in shown.out
    assert [each["state"] for each in placet("keys", "list", "-o", "json").document] == ["verifies", "signs"]
    assert len(list(folder.iterdir())) == 2


def test_the_jwk_set_has_the_keys_that_verify(placet: Placet, folder: Path) -> None:
    now = int(time.time())
    rotate_permit_key(folder, now - 2 * PERMIT_KEY_OVERLAP_SECONDS, 0)
    rows = placet("keys", "list", "-o", "json").document
    published = json.loads(placet("keys", "jwks").out)["keys"]
    assert [each["state"] for each in rows] == ["verifies", "signs"]
    assert [each["kid"] for each in published] == [each["key_id"] for each in rows]
    rotate_permit_key(folder, now - 2 * PERMIT_KEY_OVERLAP_SECONDS, 1)
    rows = placet("keys", "list", "-o", "json").document
    assert [each["state"] for each in rows] == ["expired", "verifies", "signs"]
    assert [each["kid"] for each in json.loads(placet("keys", "jwks").out)["keys"]] == [
        each["key_id"] for each in rows[1:]
    ]


@pytest.mark.parametrize("command", ["list", "jwks", "rotate"])
def test_a_folder_without_keys_does_not_change(placet: Placet, empty_folder: Path, command: str) -> None:
    ran = placet("keys", command)
    assert ran.code == exit_codes.USAGE
    assert "there are no permit keys; `placet serve` creates one" in ran.complaint
    assert not list(empty_folder.iterdir())


@pytest.mark.parametrize("after", ["-1", str(PERMIT_KEY_OVERLAP_SECONDS + 1), "soon"])
def test_an_invalid_delay(placet: Placet, folder: Path, after: str) -> None:
    assert placet("keys", "rotate", "--after", after).code == exit_codes.USAGE
    assert len(list(folder.iterdir())) == 1


def test_withdrawn_keys_are_removed(placet: Placet, folder: Path) -> None:
    made = placet("keys", "rotate", "permit", "--withdraw", "-o", "json").document
    [left] = placet("keys", "list", "-o", "json").document
    assert (left["key_id"], left["state"]) == (made["key_id"], "signs")
    assert len(list(folder.iterdir())) == 1


def test_a_withdrawal_that_is_to_wait_is_refused(placet: Placet, folder: Path) -> None:
    ran = placet("keys", "rotate", "--withdraw", "--after", "100")
    assert (ran.code, len(list(folder.iterdir()))) == (exit_codes.USAGE, 1)
    assert "--after: cannot be combined with --withdraw" in ran.complaint
    assert placet("keys", "rotate", "--withdraw", "--after", "0").code == exit_codes.OK


def scripted_key() -> key_pb2.Key:
    key = key_pb2.Key(id="k1", use=key_pb2.KEY_USE_PERMIT, state=key_pb2.KEY_STATE_WAITS)
    key.signs_from.FromSeconds(1_777_055_581)
    return key


ROW = {"key_id": "k1", "state": "waits", "signs_from": "2026-04-24T18:33:01.000000Z"}


def test_keys_of_a_server(placet: Placet, server: ScriptedServer) -> None:
    server.script("/placet.v1.KeyService/ListKeys", key_pb2.ListKeysResponse(keys=[scripted_key()]))
    [row] = placet("keys", "list", "--address", server.address, "-o", "json").document
    assert row == {**ROW, "signs_until": "", "verifies_until": ""}
    server.script("/placet.v1.ControlService/GetPermitKeys", control_pb2.GetPermitKeysResponse(jwks_json='{"keys":[]}'))
    assert placet("keys", "jwks", "--address", server.address).out == '{"keys":[]}\n'


@pytest.mark.parametrize(("flags", "after", "withdraw"), [((), 60, False), (("--withdraw",), 0, True)])
def test_a_rotation_by_a_server(
    placet: Placet,
    server: ScriptedServer,
    flags: tuple[str, ...],
    after: int,
    withdraw: bool,  # noqa: FBT001 - a table's column
) -> None:
    server.script("/placet.v1.KeyService/RotateKey", key_pb2.RotateKeyResponse(key=scripted_key()))
    ran = placet("keys", "rotate", "--address", server.address, "--as", "ann", "--reason", "yearly", *flags)
    assert (ran.code, "k1" in ran.out) == (exit_codes.OK, True)
    [(_, raw, _)] = server.calls
    asked = key_pb2.RotateKeyRequest.FromString(raw)
    assert (asked.actor.id, asked.reason, asked.after_seconds, asked.withdraw) == ("ann", "yearly", after, withdraw)


@pytest.fixture
def in_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that say that the keys are in the database."""
    monkeypatch.setenv("PLACET_PERMIT_KEY_ENCRYPTION_KEY", kek())


@pytest.mark.usefixtures("in_database")
@pytest.mark.parametrize("command", ["list", "jwks"])
def test_keys_in_the_database_are_shown_by_a_server(placet: Placet, command: str) -> None:
    ran = placet("keys", command)
    assert ran.code == exit_codes.USAGE
    assert "are in the database: name a server" in ran.complaint


@pytest.mark.usefixtures("in_database")
def test_a_lost_key_encryption_key_is_replaced_while_no_server_runs(placet: Placet, data_dir: Path) -> None:
    first = placet("keys", "rotate", "--as", "ann", "--after", "0", "-o", "json").document
    second = placet("keys", "rotate", "--as", "ann", "--after", "30", "-o", "json").document
    assert (first["state"], second["state"]) == ("signs", "waits")
    os.environ["PLACET_PERMIT_KEY_ENCRYPTION_KEY"] = kek(2)
    third = placet("keys", "rotate", "--as", "ann", "--withdraw", "--reason", "lost", "-o", "json").document
    assert third["state"] == "signs"
    with sqlite3.connect(data_dir / "placet.db") as database:
        [(body,)] = database.execute("SELECT body FROM key_sets").fetchall()
    assert [each["kid"] for each in json.loads(body)["keys"]] == [third["key_id"]]
    assert "permit_key.created" in placet("audit", "events").out


@pytest.mark.parametrize("command", [("rotate",), ("rotate", "permit", "--withdraw"), ("list",), ("jwks",)])
def test_files_are_refused_while_the_database_has_the_keys(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Without the key-encryption setting, files that the server does not use would be changed."""
    data_dir = tmp_path / "data"
    monkeypatch.setenv("PLACET_PERMIT_KEY_ENCRYPTION_KEY", kek())
    assert placet("keys", "rotate", "--data-dir", data_dir).code == exit_codes.OK
    monkeypatch.delenv("PLACET_PERMIT_KEY_ENCRYPTION_KEY")
    open_permit_keys(data_dir / "keys/permits", 1)
    ran = placet("keys", *command, "--data-dir", data_dir)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert "the permit keys are in the database" in ran.complaint
    assert "name a server that uses them with --address" in ran.complaint
    assert ("PLACET_PERMIT_KEY_ENCRYPTION_KEY" in ran.complaint) is (command[0] == "rotate")
    assert "`placet" not in ran.complaint, "no command that would be refused again"
    assert [file.name for file in (data_dir / "keys/permits").iterdir()] == ["1.pem"]


def tell_of_server(data_dir: Path, *, shared: bool) -> None:
    """Write what a server writes that runs on the data directory."""
    judged = judged_settings(Settings(permit_key_encryption_key=SecretStr(kek() if shared else "")))
    document = {"address": "127.0.0.1:1", "pid": os.getpid(), "settings": judged}
    (data_dir / "serve.json").write_text(json.dumps(document))


def test_a_running_server_says_where_the_keys_are(
    placet: Placet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = folder.parent.parent
    tell_of_server(data_dir, shared=True)
    ran = placet("keys", "rotate")
    assert (ran.code, len(list(folder.iterdir()))) == (exit_codes.USAGE, 1)
    assert "the permit keys are in the database" in ran.complaint
    (data_dir / "serve.json").unlink()
    monkeypatch.setenv("PLACET_PERMIT_KEY_ENCRYPTION_KEY", kek())
    assert placet("keys", "rotate").code == exit_codes.OK
    monkeypatch.delenv("PLACET_PERMIT_KEY_ENCRYPTION_KEY")
    assert "start it first" in placet("keys", "rotate").complaint
    tell_of_server(data_dir, shared=False)
    assert placet("keys", "rotate").code == exit_codes.OK
    assert len(list(folder.iterdir())) == 2


@pytest.mark.usefixtures("in_database")
def test_a_rotation_with_another_key_encryption_key_is_refused(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert placet("keys", "rotate", "--after", "0").code == exit_codes.OK
    monkeypatch.setenv("PLACET_PERMIT_KEY_ENCRYPTION_KEY", kek(2))
    ran = placet("keys", "rotate")
    assert ran.code == exit_codes.USAGE
    assert "add that key after the new one, or replace all keys with `placet keys rotate --withdraw`" in ran.complaint


def test_a_mounted_folder_is_shown_and_never_written(
    placet: Placet, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = empty_folder / "mounted"
    open_permit_keys(mounted, int(time.time()) - 10)
    [file] = mounted.iterdir()
    file.chmod(0o440)
    monkeypatch.setenv("PLACET_PERMIT_KEYS_DIR", str(mounted))
    [row] = placet("keys", "list", "-o", "json").document
    assert row["state"] == "signs"
    ran = placet("keys", "rotate")
    assert (ran.code, list(mounted.iterdir())) == (exit_codes.USAGE, [file])
    assert "is written by others; add a key there" in ran.complaint
