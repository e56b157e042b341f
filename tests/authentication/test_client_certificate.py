"""Which caller a client certificate proves."""

from __future__ import annotations

import time

import pytest

from placet.authentication.client_certificate import CertificateCallers
from placet.authentication.dev_certificates import CertificateAuthority
from placet.authentication.document import CertificateEntry
from placet.identity.model import Role
from placet.kernel.errors import UnauthenticatedError
from tests.support.fakes import FixedClock

GRANT = {"role": "agent_runtime", "tenants": "acme", "agents": "support-*"}
SUPPORT = "spiffe://example.org/ns/agents/sa/support"
AUTHORITY = CertificateAuthority()


def callers(clock: FixedClock | None = None, **entry: str) -> CertificateCallers:
    found = CertificateEntry.model_validate({**entry, "grants": [GRANT]})
    return CertificateCallers([found], clock or now())


def now() -> FixedClock:
    return FixedClock(int(time.time() * 1_000_000))


@pytest.mark.parametrize(
    ("pattern", "spiffe_id", "is_caller"),
    [
        (SUPPORT, SUPPORT, True),
        ("spiffe://example.org/ns/agents/*", SUPPORT, True),
        ("spiffe://example.org/ns/other/*", SUPPORT, False),
        ("spiffe://example.org/*", "spiffe://example.org.evil.test/ns", False),
        ("spiffe://example.org/*", "spiffe://evil.test/example.org/ns", False),
        (SUPPORT, SUPPORT.upper().replace("SPIFFE", "spiffe"), False),
        (SUPPORT, SUPPORT + "/", False),
    ],
)
def test_a_spiffe_id_names_the_caller(pattern: str, spiffe_id: str, *, is_caller: bool) -> None:
    certificate, _ = AUTHORITY.client("support", [spiffe_id])
    verifier = callers(spiffe_id=pattern)
    if not is_caller:
        with pytest.raises(UnauthenticatedError) as error:
            verifier.principal(certificate, "ipv4:1")
        assert (error.value.reason, spiffe_id in error.value.cause) == ("CREDENTIAL_INVALID", True)
        return
    principal = verifier.principal(certificate, "ipv4:1")
    assert (principal.caller.name, principal.caller.issuer) == (spiffe_id, "example.org")
    assert (principal.caller.method, principal.caller.peer) == ("certificate", "ipv4:1")
    assert principal.grants[0].role is Role.AGENT_RUNTIME


def test_a_subject_names_the_caller() -> None:
    certificate, _ = AUTHORITY.client("refund-agent")
    subject = "O=Placet development,CN=refund-agent"
    assert callers(subject=subject).principal(certificate, "").caller.name == subject
    with pytest.raises(UnauthenticatedError):
        callers(subject="CN=refund-agent").principal(certificate, "")


@pytest.mark.parametrize("spiffe_ids", [[], [SUPPORT, "spiffe://example.org/other"]], ids=["none", "two"])
def test_a_certificate_has_one_spiffe_id(spiffe_ids: list[str]) -> None:
    certificate, _ = AUTHORITY.client("support", spiffe_ids)
    with pytest.raises(UnauthenticatedError, match="matches no entry"):
        callers(spiffe_id="spiffe://example.org/*").principal(certificate, "")


def test_a_connection_does_not_outlive_its_certificate() -> None:
    certificate, _ = AUTHORITY.client("support", [SUPPORT])
    clock = now()
    verifier = callers(clock, spiffe_id=SUPPORT)
    assert verifier.principal(certificate, "").caller.name == SUPPORT
    clock.wall = clock.wall + 31 * 24 * 3600 * 1_000_000
    with pytest.raises(UnauthenticatedError) as error:
        verifier.principal(certificate, "")
    assert error.value.reason == "CREDENTIAL_EXPIRED"


def test_bytes_that_are_no_certificate_prove_nothing() -> None:
    with pytest.raises(UnauthenticatedError, match="cannot be read"):
        callers(spiffe_id=SUPPORT).principal(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "")
