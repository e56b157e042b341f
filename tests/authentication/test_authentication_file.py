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
AUDITOR = GRANT + 'role = "auditor"\ntenants = "acme"\n'
CALLERS = ISSUER + AUDITOR
USERS = 'user_tenants = "acme"\n'


def second(audience: str = "users", **changes: str) -> str:
    """Return another entry of the issuer, for users."""
    keys = {
        "issuer": '"https://id.example.com"',
        "audience": f'"{audience}"',
        "algorithms": '["RS256"]',
        "jwks_url": '"https://id.example.com/keys"',
        "user_tenants": '"acme"',
        **changes,
    }
    return "[[issuers]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items() if value)


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
        (ISSUER, "issuers[0]: grants: are missing; add some for callers, or"),
        (ISSUER + USERS + AUDITOR, "issuers[0]: grants: are for callers, and tenants_claim and user_tenants for users"),
        (ISSUER + USERS + 'tenants_claim = "tenants"', "tenants_claim and user_tenants exclude each other"),
        (ISSUER + 'user_tenants = "../acme"', "issuers[0].user_tenants: "),
        (ISSUER + 'jwks_file = "keys.json"\n' + AUDITOR, "jwks_url and jwks_file exclude each other"),
        (
            CALLERS.replace("https://id.example.com/keys", "http://id.example.com/keys"),
            "issuers[0].jwks_url: must be https",
        ),
        (CALLERS.replace("https://id.example.com/keys", "file:///etc/keys"), "issuers[0].jwks_url: must be https"),
        (CALLERS.replace("https://id.example.com/keys", "https://a:b@id.example.com/"), "no user, password"),
        (CALLERS.replace("jwks_url", "#").replace("https://id", "http://id"), "issuers[0]: issuer: must be https"),
        (CALLERS.replace('https://id.example.com"', 'a|b"', 1), "issuers[0].issuer: must be printable ASCII"),
        (ISSUER + 'person_claim = "email"\npeople = true\n' + AUDITOR, "person_verified_claim: is required"),
        (ISSUER + 'person_verified_claim = "email_verified"\n' + AUDITOR, "needs a person_claim"),
        (ISSUER + 'people_when = {uid = "x"}\n' + AUDITOR, "people: must be true for people_when"),
        (CALLERS.replace('"auditor"', '"approver"'), "people: must be true for the role approver"),
        (CALLERS + second("placet"), "issuers[1].audience: placet of the same issuer is also in issuers[0]"),
        (CALLERS + CALLERS.partition("[[issuers]]")[2].join(["[[issuers]]", ""]), "is also in issuers[0]"),
        (CALLERS + second(jwks_url='"https://evil.example/keys"'), "issuers[1].jwks_url: differs from issuers[0]"),
        (
            second().join(['accept = ["certificate"]\n', second("more", person_claim='"employee"')]),
            "issuers[1].person_claim: differs from issuers[0], so that one person would be two",
        ),
        (CALLERS.replace('["jwt"]', '["token"]'), 'issuers[0]: is not used; add "jwt" to accept'),
        ('accept = ["jwt"]\n' + second(), "issuers: has no entry with grants"),
        (CALLERS.replace("RS256", "none"), "issuers[0].algorithms[0]"),
        (ISSUER + "leeway_seconds = 3600\n" + AUDITOR, "issuers[0].leeway_seconds"),
        (ISSUER + "stale_keys_seconds = 1\n" + AUDITOR, "issuers[0].stale_keys_seconds"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_authentication_file(path)
    assert f"auth_file: {path}" in str(error.value)
    assert found in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('accept = ["tokens"]', "accept[0]: Input should be 'token', 'jwt' or 'certificate'"),
        ("accept = []", "accept: Tuple should have at least 1 item after validation, not 0"),
        ('accept = ["certificate"]', 'certificates: has no entry; add one, or remove "certificate" from accept'),
    ],
)
def test_each_problem_is_said_once(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_authentication_file(path)
    assert str(error.value) == f"auth_file: {path}: {said}"


def test_a_right_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(ISSUER + GRANT + 'role = "agent_runtime"\ntenants = "acme"\nagents = ["support-*"]\nuser = "token"')
    document = read_authentication_file(path)
    [grant] = document.issuers[0].grants
    assert grant.grant().covers("acme")
    assert grant.grant().names_agent("support-7")


def test_callers_and_users_of_one_issuer_have_two_entries(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(CALLERS + second())
    callers, users = read_authentication_file(path).issuers
    assert not callers.is_for_users
    assert users.is_for_users


def test_user_tokens_need_no_jwts_of_callers(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text('accept = ["token"]\n' + second())
    assert read_authentication_file(path).issuers[0].is_for_users


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_authentication_file(tmp_path / "auth.toml")


CERTIFICATE = 'accept = ["certificate"]\n[[certificates]]\n'
CERTIFICATE_GRANT = '\n[[certificates.grants]]\nrole = "auditor"\ntenants = "acme"\n'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('accept = ["certificate"]', "certificates: has no entry"),
        (CERTIFICATE + CERTIFICATE_GRANT, "one of spiffe_id and subject"),
        (CERTIFICATE + 'spiffe_id = "spiffe://a/b"\nsubject = "CN=b"' + CERTIFICATE_GRANT, "and only one"),
        (CERTIFICATE + 'spiffe_id = "spiffe://*/b"' + CERTIFICATE_GRANT, "only the path may contain"),
        (CERTIFICATE + 'spiffe_id = "spiffe://example.org"' + CERTIFICATE_GRANT, "<trust domain>/<path>"),
        (CERTIFICATE + 'subject = "CN=b"', "certificates[0].grants"),
    ],
)
def test_a_wrong_file_of_certificates_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_authentication_file(path)
    assert found in str(error.value)
