"""Tokens and certificates in variables that a command cannot use: one line, without the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from placet import sdk
from placet.cli.rendering import exit_codes
from placet.cli.rendering.failures import line_of
from placet.sdk import failures

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet

STATUS = ("policy", "status", "--address")
LOCAL = "127.0.0.1:7070"


@pytest.mark.parametrize("token", ["Bearer placet_secret", "placet_secret\n", "plàcet_secret", "placet_secret" * 2000])
def test_a_token_that_cannot_be_sent(placet: Placet, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("PLACET_TOKEN", token)
    ran = placet(*STATUS, LOCAL)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert "PLACET_TOKEN must be 1 to 16384 ASCII characters" in ran.complaint
    assert "cet_secret" not in ran.err


def test_a_token_without_tls_beyond_the_machine(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_TOKEN", "placet_secret")
    ran = placet(*STATUS, "192.0.2.1:7070")
    assert (ran.code, "set PLACET_TLS_CA_FILE" in ran.complaint) == (exit_codes.USAGE, True)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"TLS_CA": "empty"}, "PLACET_TLS_CA_FILE: empty holds no certificate in PEM"),
        ({"TLS_CA": "missing"}, "PLACET_TLS_CA_FILE: cannot read missing"),
        (
            {"TLS_CA": "system", "CLIENT_CERT": "empty"},
            "PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE belong together",
        ),
        (
            {"TLS_CA": "system", "CLIENT_CERT": "empty", "CLIENT_KEY": "empty"},
            "PLACET_CLIENT_KEY_FILE: empty holds no private key in PEM",
        ),
        ({"CLIENT_CERT": "empty"}, "PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE need PLACET_TLS_CA_FILE"),
    ],
)
def test_the_variable_of_a_wrong_file_is_named(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    for kind, path in files.items():
        monkeypatch.setenv(f"PLACET_{kind}_FILE", path)
    ran = placet(*STATUS, LOCAL)
    assert (ran.code, text in ran.complaint) == (exit_codes.USAGE, True), ran.err
    assert "--address" not in ran.err


def test_a_key_of_another_certificate_is_named_with_the_certificate(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        assert placet("dev-certs", tmp_path / name).code == 0
    cert, key = tmp_path / "a" / "tls.crt", tmp_path / "b" / "tls.key"
    monkeypatch.setenv("PLACET_TLS_CA_FILE", str(tmp_path / "a" / "ca.crt"))
    monkeypatch.setenv("PLACET_CLIENT_CERT_FILE", str(cert))
    monkeypatch.setenv("PLACET_CLIENT_KEY_FILE", str(key))
    ran = placet(*STATUS, LOCAL)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert f"PLACET_CLIENT_KEY_FILE: {key} is not the key of the first certificate in {cert}" in ran.complaint


def test_a_key_with_a_passphrase_is_named_and_not_asked_for(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert placet("dev-certs", tmp_path / "a").code == 0
    path = tmp_path / "a" / "tls.key"
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"guess")))
    for kind, name in (("TLS_CA", "ca.crt"), ("CLIENT_CERT", "tls.crt"), ("CLIENT_KEY", "tls.key")):
        monkeypatch.setenv(f"PLACET_{kind}_FILE", str(tmp_path / "a" / name))
    ran = placet(*STATUS, LOCAL)
    assert (ran.code, f"PLACET_CLIENT_KEY_FILE: {path} is encrypted" in ran.complaint) == (exit_codes.USAGE, True)


@pytest.mark.parametrize(
    ("detail", "remedy"),
    [
        ("the connection to h:1 was closed", "if the server uses TLS, set PLACET_TLS_CA_FILE"),
        ("the TLS handshake with h:1 failed: check the certificates", "set PLACET_TLS_CA_FILE to the CAs"),
        ("the connection to h:1 was refused", "start the server with `placet serve`"),
    ],
)
def test_the_remedy_fits_why_the_server_cannot_be_reached(detail: str, remedy: str) -> None:
    assert remedy in line_of(sdk.Failure(failures.UNAVAILABLE, detail))
