"""A wrong authentication file is refused with the file, the key and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.authentication.file import read_authentication_file
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

ISSUER = """
accept = ["jwt"]
[[issuers]]
issuer = "https://id.example.com"
audience = "placet"
algorithms = ["RS256"]
jwks_url = "https://id.example.com/keys"
"""
GRANT = "[[issuers.grants]]\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("accept = [", "is not valid TOML"),
        ("", "accept: is required"),
        (ISSUER.replace('audience = "placet"\n', ""), "issuers[0].audience: is required"),
        (ISSUER.replace("RS256", "HS256"), "issuers[0].algorithms[0]"),
        (ISSUER + "other = 1", "issuers[0].other: is not a key of this file"),
        (ISSUER + GRANT + 'role = "agent_runtime"\ntenants = "*"\nagents = "*"', 'tenants: "*" is not for the role'),
        (ISSUER + GRANT + 'role = "approver"\ntenants = "*"', 'tenants: "*" is not for the role approver'),
        (ISSUER + GRANT + 'role = "agent_runtime"\ntenants = "acme"', "agents: is required"),
        (ISSUER + GRANT + 'role = "auditor"\ntenants = "acme"\nagents = "*"', "agents and user are for the role"),
        (ISSUER + GRANT + 'role = "auditor"\ntenants = "../acme"', "is no tenant"),
        (ISSUER + GRANT + 'role = "auditor"\ntenants = ["*", "acme"]', "leave out the others"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_authentication_file(path)
    assert f"auth_file: {path}" in str(error.value)
    assert found in str(error.value)


def test_a_right_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(ISSUER + GRANT + 'role = "agent_runtime"\ntenants = "acme"\nagents = ["support-*"]\nuser = "token"')
    document = read_authentication_file(path)
    [grant] = document.issuers[0].grants
    assert grant.grant().covers("acme")
    assert grant.grant().names_agent("support-7")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_authentication_file(tmp_path / "auth.toml")
