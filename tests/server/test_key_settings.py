"""The settings of permit keys: where they come from, and what is refused at the start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError

from placet.kernel.errors import ConfigurationError
from placet.server.parts.permit_keys import with_key_encryption
from placet.server.settings.model import Settings
from placet.server.settings.sources import load_settings
from tests.keys.key_env import kek

if TYPE_CHECKING:
    from pathlib import Path

SOURCES: dict[str, Any] = {
    "permit_keys_dir": "/keys",
    "permit_key_encryption_key": kek(),
    "permit_key_encryption_file": "/kek",
    "permit_key_encryption_command": "kms decrypt",
}


@pytest.mark.parametrize("one", SOURCES)
@pytest.mark.parametrize("other", SOURCES)
def test_keys_come_from_one_place(one: str, other: str) -> None:
    values = {name: SOURCES[name] for name in (one, other)}
    if one == other:
        assert Settings(**values).has_shared_keys is (one != "permit_keys_dir")
        return
    with pytest.raises(ValidationError, match="cannot be combined with"):
        Settings(**values)


def test_without_settings_the_keys_are_in_the_data_directory(tmp_path: Path) -> None:
    chosen = Settings(data_dir=tmp_path)
    assert (chosen.has_shared_keys, chosen.permit_keys_folder) == (False, tmp_path / "keys/permits")
    assert with_key_encryption(chosen) is chosen


def test_a_command_is_a_list_or_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed, text = tmp_path / "listed.toml", tmp_path / "text.toml"
    listed.write_text('permit_key_encryption_command = ["aws", "kms", "a b"]\n')
    text.write_text("permit_key_encryption_command = \"aws kms 'a b'\"\n")
    expected = "aws kms 'a b'"
    assert load_settings({}, listed)[0].permit_key_encryption_command == expected
    assert load_settings({}, text)[0].permit_key_encryption_command == expected
    monkeypatch.setenv("PLACET_PERMIT_KEY_ENCRYPTION_COMMAND", expected)
    assert load_settings({})[0].permit_key_encryption_command == expected


@pytest.mark.parametrize("wrong", ['["aws", 1]', "7", '"aws \'kms"', '" "'])
def test_a_command_of_another_form(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "placet.toml"
    file.write_text(f"permit_key_encryption_command = {wrong}\n")
    with pytest.raises(ConfigurationError, match=r"^permit_key_encryption_command "):
        load_settings({}, file)


def test_the_command_of_a_file_that_was_only_found_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "placet.toml").write_text('permit_key_encryption_command = ["touch", "evil"]\n')
    with pytest.raises(ConfigurationError, match="cannot be set by a file that was only found"):
        load_settings({})


def test_the_key_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "kek"
    file.write_text(f"{kek()}\n")
    file.chmod(0o600)
    ready = with_key_encryption(Settings(permit_key_encryption_file=str(file)))
    assert ready.permit_key_encryption_key.get_secret_value().strip() == kek()


def test_the_key_is_what_the_command_prints_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    program = tmp_path / "kms.py"
    program.write_text(f"open({str(runs)!r}, 'a').write('run '); print({kek()!r})")
    ready = with_key_encryption(Settings(permit_key_encryption_command=f"{sys.executable} {program}"))
    assert ready.permit_key_encryption_key.get_secret_value() == f"{kek()}\n"
    again = with_key_encryption(ready.of_worker(1, ()))
    assert again.permit_key_encryption_key == ready.permit_key_encryption_key
    assert runs.read_text() == "run "


@pytest.mark.parametrize("printed", ["", "denied", f"{kek()}{kek()}x"])
def test_output_that_is_no_key_names_the_program_and_is_not_shown(tmp_path: Path, printed: str) -> None:
    program = tmp_path / "kms.py"
    program.write_text(f"print({printed!r})")
    with pytest.raises(ConfigurationError, match=r"^permit_key_encryption_command: ") as refused:
        with_key_encryption(Settings(permit_key_encryption_command=f"{sys.executable} {program}"))
    assert sys.executable in str(refused.value)
    assert not printed or printed not in str(refused.value)


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kek"
    file.write_text("guess")
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=f"^permit_key_encryption_file: {file}: is not a key-encryption key"):
        with_key_encryption(Settings(permit_key_encryption_file=str(file)))


def test_the_key_is_masked() -> None:
    ready = Settings(permit_key_encryption_key=SecretStr(kek()))
    assert kek() not in repr(ready.describe({}))
    assert kek() not in repr(ready)


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        ({}, True),
        ({"http_listen": "127.0.0.1:8080"}, True),
        ({"http_listen": "[::1]:8080"}, True),
        ({"http_listen": "0.0.0.0:8080"}, False),
        ({"http_listen": "0.0.0.0:8080", "tls_terminated": True}, True),
        ({"http_listen": "0.0.0.0:8080", "unsafe_no_auth": True}, True),
        ({"http_listen": "0.0.0.0:8080", "tls_cert_file": "c", "tls_key_file": "k"}, True),
        ({"http_listen": "127.0.0.1:7070"}, False),
        ({"http_listen": "127.0.0.1:9090", "metrics_listen": "127.0.0.1:9090"}, False),
        ({"http_listen": "here"}, False),
    ],
)
def test_public_keys_travel_unencrypted_only_on_this_machine(values: dict[str, Any], accepted: bool) -> None:  # noqa: FBT001 - a table's column
    if accepted:
        assert Settings(**values).http_listen == values.get("http_listen", "")
        return
    with pytest.raises(ValidationError, match="http_listen"):
        Settings(**values)
