"""Certificates for development: a CA, a server certificate and client certificates, all short-lived."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAYS: Final = 30
"""Lifetime of the certificates."""
_SKEW: Final = timedelta(minutes=5)
"""How long before now they begin to be valid, for machines whose clock is behind."""
_ORGANIZATION: Final = "Placet development"


class CertificateAuthority:
    """A CA of development. Its key stays in memory: `write` leaves it out, so that no other certificate is signed."""

    def __init__(self, days: float = DAYS) -> None:
        """`days` is the lifetime of all certificates; negative ones have expired already."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._days = days
        name = _name("Placet development CA")
        self._certificate = (
            self._builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate(self) -> bytes:
        """The certificate of the CA, in PEM."""
        return self._certificate.public_bytes(Encoding.PEM)

    def server(self, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """Return the certificate and the key of a server with these host names and addresses, in PEM."""
        return self._issue(hosts[0], [_general_name(host) for host in hosts], ExtendedKeyUsageOID.SERVER_AUTH, None)

    def client(
        self, common_name: str, spiffe_ids: Sequence[str] = (), days: float | None = None
    ) -> tuple[bytes, bytes]:
        """Return the certificate and the key of a client, in PEM. `days` is its lifetime, by default that of the CA."""
        names = [x509.UniformResourceIdentifier(spiffe_id) for spiffe_id in spiffe_ids]
        return self._issue(common_name, names, ExtendedKeyUsageOID.CLIENT_AUTH, days)

    def _issue(
        self, common_name: str, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier, days: float | None
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(_name(common_name), self._certificate.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), pem

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float | None = None
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        ends = now + timedelta(days=self._days if days is None else days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, ends) - _SKEW)
            .not_valid_after(ends)
        )


def write_dev_certificates(folder: Path, hosts: Sequence[str], spiffe_ids: Sequence[str]) -> list[Path]:
    """Write ``ca.crt``, ``tls.crt`` and ``tls.key`` of a server, and ``<name>.crt`` and ``.key`` of each client.

    The name of a client is the last part of its SPIFFE id. Returns the files. ConfigurationError if a file exists or
    the folder cannot be written.
    """
    authority = CertificateAuthority()
    contents = {"ca.crt": authority.certificate}
    contents["tls.crt"], contents["tls.key"] = authority.server(hosts)
    for spiffe_id in spiffe_ids:
        name = spiffe_id.rpartition("/")[2]
        if f"{name}.crt" in contents:
            raise ConfigurationError(f"two certificates would be {name}.crt; end the SPIFFE ids in different names")
        contents[f"{name}.crt"], contents[f"{name}.key"] = authority.client(name, [spiffe_id])
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in contents:
            if (folder / name).exists():
                raise ConfigurationError(
                    f"{folder / name} exists; remove it, or choose another folder, and name every --client at once: "
                    "the key of the CA is not kept"
                )
        return [_write(folder / name, content) for name, content in contents.items()]
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error


def _write(path: Path, content: bytes) -> Path:
    mode = 0o600 if path.suffix == ".key" else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    return path


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
        ]
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
