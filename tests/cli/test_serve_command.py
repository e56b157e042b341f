"""`placet serve`: settings as flags. The server itself is tested elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.cli.rendering import exit_codes
from placet.kernel.errors import ConfigurationError, Diagnostic, PolicyInvalidError
from placet.server import lifecycle
from placet.server.settings.model import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings that the server was started with; starting it ends at once."""
    started: list[Settings] = []

    def run(settings: Settings, *_: object) -> int:
        started.append(settings)
        return 0

    monkeypatch.setattr(lifecycle, "run", run)
    return started


def test_every_setting_is_a_flag(placet: Placet, served: list[Settings]) -> None:
    certificate = {"tls_cert_file": "a.crt", "tls_key_file": "a.key"}
    signed = {"policy_url": "https://policy.example.com/bundle.tar.gz", "policy_verification_key": "key.pub.pem"}
    together: dict[str, dict[str, Any]] = {
        "tls_cert_file": certificate,
        "tls_key_file": certificate,
        "tls_client_ca_file": certificate,
        "mtls_listen": {**certificate, "tls_client_ca_file": "ca.crt", "auth_file": "a.toml"},
        "opa_path": {"opa_address": ""},
        "policy_verification_key": signed,
        "policy_token_file": signed,
        "policy_url_ca_file": signed,
        "policy_registry_user": {
            **signed,
            "policy_url": "oci://registry.example.com/policy:prod",
            "policy_token_file": "password",
        },
        "policy_url": signed,
        "opa_required_revision": {"opa_address": "unix:///s"},
        "webhook_url": {"webhook_secret": (Settings.model_fields["webhook_secret"].examples or [""])[0]},
    }
    for name, field in Settings.model_fields.items():
        value = str((field.examples or [""])[0])
        flags: dict[str, Any] = {**together.get(name, {}), name: value}
        arguments: list[str] = []
        for setting, text in flags.items():
            flag = "--" + setting.replace("_", "-")
            arguments += [flag] if Settings.model_fields[setting].annotation is bool else [flag, text]
        assert placet("serve", *arguments).code == 0
        assert served.pop() == Settings(**flags)


def test_a_negative_flag(placet: Placet, served: list[Settings]) -> None:
    assert placet("serve", "--no-reflection").code == 0
    assert not served[0].reflection


def test_the_exit_code_is_the_servers(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.server.lifecycle.run", lambda _: 7)
    assert placet("serve").code == 7


def test_print_settings(placet: Placet, served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_REPLICA_ID", "r1")
    ran = placet("serve", "--print-settings", "--listen", "127.0.0.1:0", "-o", "json")
    assert (ran.code, ran.err, served) == (0, "", [])
    rows = {row["name"]: (row["value"], row["source"]) for row in ran.document["settings"]}
    assert set(rows) == set(Settings.model_fields)
    assert rows["listen"] == ("127.0.0.1:0", "--listen")
    assert rows["replica_id"] == ("r1", "PLACET_REPLICA_ID")
    assert rows["log_level"] == ("info", "default")
    table = placet("serve", "--print-settings").out
    assert ["replica_id", "r1", "PLACET_REPLICA_ID"] in [line.split() for line in table.splitlines()]


def test_a_named_settings_file(placet: Placet, served: list[Settings], tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('replica = "from-file"\n')
    assert placet("serve", "--config", path).code == 0
    assert served[0].replica_id == "from-file"


def test_wrong_settings_are_one_line_each(placet: Placet, served: list[Settings]) -> None:
    ran = placet("serve", "--listen", "0.0.0.0:7070", "--replica-id", "a b")
    assert (ran.code, ran.out, served) == (exit_codes.USAGE, "", [])
    lines = ran.err.splitlines()
    assert [line.split(" ")[1] for line in lines] == ["listen", "replica_id"]
    assert "--unsafe-no-auth" in lines[0]


def test_unknown_variables_and_keys(
    placet: Placet, served: list[Settings], empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "placet.toml").write_text("lisen = 1\n")
    ran = placet("serve")
    assert (ran.code, served) == (exit_codes.USAGE, [])
    assert "did you mean listen?" in ran.complaint
    (empty_folder / "placet.toml").unlink()
    monkeypatch.setenv("PLACET_LISEN", "1")
    assert "did you mean PLACET_LISTEN?" in placet("serve").complaint


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("port 7070: in use; choose another"),
        PolicyInvalidError([Diagnostic("a.rego:1", "bad", "mend")]),
    ],
)
def test_a_server_that_cannot_start(placet: Placet, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(_: Settings) -> int:
        raise error

    monkeypatch.setattr("placet.server.lifecycle.run", run)
    ran = placet("serve")
    assert ran.code == exit_codes.USAGE
    assert ran.complaint == str(error)
