"""Client certificates: which caller a certificate that TLS verified proves."""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from msgspec import Struct
from msgspec.structs import replace

from placet.authentication.authenticator import CREDENTIAL_EXPIRED, CREDENTIAL_INVALID
from placet.identity.model import SPIFFE, Principal
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.model import Caller
from placet.matching.globs import glob_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.authentication.document import CertificateEntry
    from placet.kernel.clock import Clock

METHOD: Final = "certificate"
_CACHE: Final = 1_024
"""Certificates whose content is cached."""


class _Content(Struct, frozen=True):
    """What is read of a certificate."""

    spiffe_ids: tuple[str, ...]
    subject: str
    """The subject as RFC 4514 writes it, such as ``CN=refund-agent,O=Example``."""
    issuer: str
    not_after_us: int


class CertificateCallers:
    """The callers that certificates prove."""

    def __init__(self, entries: Sequence[CertificateEntry], clock: Clock) -> None:
        self._entries = entries
        self._clock = clock
        self._principal_of = lru_cache(_CACHE)(self._principal)

    def principal(self, certificate: bytes, peer: str) -> Principal:
        """Return the caller. UnauthenticatedError if the certificate has expired or matches no entry.

        A connection can outlive its certificate, which TLS checks only when the connection begins.
        """
        principal = self._principal_of(certificate)
        if principal.expires_at_us <= self._clock.wall_us():
            raise UnauthenticatedError(CREDENTIAL_EXPIRED, "the client certificate has expired; renew it")
        return replace(principal, caller=replace(principal.caller, peer=peer))

    def _principal(self, certificate: bytes) -> Principal:
        """Return the caller of the first entry that matches. Grants of several entries do not add up."""
        content = _content(certificate)
        for entry in self._entries:
            if entry.spiffe_id and len(content.spiffe_ids) == 1:
                [spiffe_id] = content.spiffe_ids
                if _matches(entry.spiffe_id, spiffe_id):
                    return _principal_of(entry, spiffe_id, _domain_of(spiffe_id), content.not_after_us)
            elif entry.subject and entry.subject == content.subject:
                return _principal_of(entry, content.subject, content.issuer, content.not_after_us)
        raise UnauthenticatedError(
            CREDENTIAL_INVALID,
            "the client certificate matches no entry of the server's auth_file",
            f"SPIFFE ids {list(content.spiffe_ids)}, subject {content.subject}",
        )


def _principal_of(entry: CertificateEntry, name: str, issuer: str, not_after_us: int) -> Principal:
    grants = tuple(grant.grant() for grant in entry.grants)
    return Principal(Caller(name, "", METHOD, issuer, is_program=True), grants, expires_at_us=not_after_us)


def _content(certificate: bytes) -> _Content:
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except ValueError as error:
        raise UnauthenticatedError(
            CREDENTIAL_INVALID, "the client certificate cannot be read; renew it", str(error)
        ) from error
    return _Content(
        tuple(uri for uri in uris if uri.startswith(SPIFFE)),
        parsed.subject.rfc4514_string(),
        parsed.issuer.rfc4514_string(),
        int(parsed.not_valid_after_utc.astimezone(UTC).timestamp() * 1_000_000),
    )


def _matches(pattern: str, spiffe_id: str) -> bool:
    """Return whether the id matches. The trust domain is compared as it is, so a ``*`` cannot reach into it."""
    return _domain_of(pattern) == _domain_of(spiffe_id) and glob_matches(pattern, spiffe_id)


def _domain_of(spiffe_id: str) -> str:
    return spiffe_id.removeprefix(SPIFFE).partition("/")[0]
