"""Certificates of the listeners: read from files, checked, and read anew when the files change."""

from __future__ import annotations

import dataclasses
import ssl
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from placet.transport.tls_files import TlsFiles


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What was read from the files."""

    chain: bytes
    key: bytes
    client_ca: bytes | None
    not_after: datetime

    def configuration(self, *, verify_clients: bool) -> grpc.ServerCertificateConfiguration:
        """Return the configuration for gRPC."""
        root = self.client_ca if verify_clients else None
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], root)


class ServerTls:
    """The certificates that the listeners present now."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files. ConfigurationError names the setting of a file that cannot be used, and the remedy."""
        self._files = files
        self._signature = files.signature()
        self._current = read_material(files)
        self._context = _context_of(files)
        self._open_context = _context_of(dataclasses.replace(files, client_ca=None))

    @property
    def not_after(self) -> datetime:
        """When the server's certificate expires."""
        return self._current.not_after

    @property
    def has_client_ca(self) -> bool:
        """Whether client certificates can be verified."""
        return self._files.client_ca is not None

    def credentials(self, *, verify_clients: bool) -> grpc.ServerCredentials:
        """Return credentials for gRPC, which take the current certificate for each new connection.

        `verify_clients` requires a certificate of the client CAs. gRPC accepts TLS 1.2 and 1.3.
        """
        used = self._current

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal used
            if self._current is used:
                return None
            used = self._current
            return used.configuration(verify_clients=verify_clients)

        return grpc.dynamic_ssl_server_credentials(
            used.configuration(verify_clients=verify_clients),
            fetch,  # type: ignore[arg-type] # the stubs do not know that None means: no change
            verify_clients,
        )

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection of another server, which takes clients of the client CAs alone."""
        return self._context

    def open_context(self) -> ssl.SSLContext:
        """Return the context of a listener that asks for no client certificate. New connections get the current one."""
        return self._open_context

    def refresh(self) -> bool:
        """Read the files if they changed. Return whether there are new certificates.

        ConfigurationError if the files cannot be used: then the certificates stay, and the next change is awaited.
        """
        signature = self._files.signature()
        if signature == self._signature:
            return False
        self._signature = signature
        current, context = read_material(self._files), _context_of(self._files)
        self._open_context.load_cert_chain(self._files.certificate, self._files.key)
        self._current, self._context = current, context
        return True


def read_material(files: TlsFiles, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> TlsMaterial:
    """Read and check the files. ConfigurationError names the setting of a file that cannot be used, and the remedy."""
    chain, key = _read("tls_cert_file", files.certificate), _read("tls_key_file", files.key)
    certificate = _certificates("tls_cert_file", files.certificate, chain)[0]
    if files.key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigurationError(f"tls_key_file: {files.key} is open to all users; run `chmod o-rwx {files.key}`")
    if _public(_private_key(files.key, key).public_key()) != _public(certificate.public_key()):
        raise ConfigurationError(
            f"tls_key_file: {files.key} is not the key of the first certificate in {files.certificate}; use its key"
        )
    if certificate.not_valid_after_utc <= now():
        raise ConfigurationError(
            f"tls_cert_file: {files.certificate} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
            "renew it"
        )
    client_ca = None
    if files.client_ca is not None:
        client_ca = _read("tls_client_ca_file", files.client_ca)
        _certificates("tls_client_ca_file", files.client_ca, client_ca)
    return TlsMaterial(chain, key, client_ca, certificate.not_valid_after_utc)


def _context_of(files: TlsFiles) -> ssl.SSLContext:
    """Return a context with the files. ConfigurationError if OpenSSL does not take them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key)
        if files.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(files.client_ca)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"tls_cert_file: {files.certificate} cannot be used: {error}; check the files"
        ) from error
    return context


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot read {path}: {error.strerror}; check the path") from error


def _certificates(setting: str, path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {path} holds no certificate in PEM; check the file") from error


def _private_key(path: Path, pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, None)
    except TypeError as error:
        raise ConfigurationError(f"tls_key_file: {path} is encrypted; use a key without a passphrase") from error
    except ValueError as error:
        raise ConfigurationError(f"tls_key_file: {path} holds no private key in PEM; check the file") from error


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
