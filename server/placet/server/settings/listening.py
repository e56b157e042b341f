"""Settings of the listeners: addresses, certificates, and whether callers are authenticated."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from placet.matching.addresses import is_loopback, split_address, unix_path
from placet.transport.tls_files import TlsFiles

_AUTHENTICATED = "authenticate callers with auth_file, or accept the risk with --unsafe-no-auth"


class ListeningSettings(BaseSettings):
    """The part of `Settings` about listeners."""

    unsafe_no_auth: bool = Field(
        default=False,
        description="Allow listening beyond loopback although callers are not authenticated. Anyone who reaches the "
        "port can request decisions and read the audit trail.",
        examples=["true"],
    )
    auth_file: str = Field(
        default="",
        description="File that says which credentials callers present, and what each caller may do. Empty: callers are "
        "not authenticated, and listen must be a loopback address or a unix socket.",
        examples=["/etc/placet/auth.toml"],
    )
    tls_cert_file: str = Field(
        default="",
        description="Certificate of the server in PEM, followed by the intermediate ones, for every listener. Read "
        "again when it changes. Empty: no TLS.",
        examples=["/etc/placet/tls/tls.crt"],
    )
    tls_key_file: str = Field(
        default="", description="Private key of tls_cert_file, in PEM.", examples=["/etc/placet/tls/tls.key"]
    )
    tls_client_ca_file: str = Field(
        default="",
        description="CAs of client certificates, in PEM. With it each client must present a certificate: on "
        "mtls_listen if that is set, else on listen; and on metrics_listen.",
        examples=["/etc/placet/tls/client-ca.crt"],
    )
    tls_terminated: bool = Field(
        default=False,
        description="A proxy before Placet ends TLS, so that listen may be beyond loopback without tls_cert_file.",
        examples=["true"],
    )
    listen: str = Field(
        default="127.0.0.1:7070",
        description="Address of the gRPC server, host:port or unix:/path. Port 0 picks a free port. An address beyond "
        "loopback needs auth_file and TLS, or unsafe_no_auth. A unix socket is never encrypted.",
        examples=["127.0.0.1:7070"],
    )
    listen_socket_mode: Literal["0600", "0660", "0666"] = Field(
        default="0600",
        description="Who may connect when listen is a unix socket: 0600 only Placet's user, 0660 also the group of the "
        "file, 0666 every user of the machine.",
        examples=["0660"],
    )
    mtls_listen: str = Field(
        default="",
        validate_default=True,
        description="Second address of the gRPC server, host:port, where each client must present a certificate. Then "
        "listen takes the other credentials. Needs tls_client_ca_file.",
        examples=["0.0.0.0:7443"],
    )
    metrics_listen: str = Field(
        default="",
        description="Address of the Prometheus endpoint, host:port; the path is /metrics. Empty: no endpoint. An "
        "address beyond loopback needs tls_client_ca_file or unsafe_no_auth.",
        examples=["127.0.0.1:9090"],
    )
    http_listen: str = Field(
        default="",
        description="Address of the HTTP server, host:port; it serves the public keys that verify permits as "
        "/.well-known/jwks.json, to everyone. Empty: no HTTP server. An address beyond loopback needs TLS, or "
        "unsafe_no_auth.",
        examples=["127.0.0.1:8080"],
    )

    @property
    def tls_files(self) -> TlsFiles | None:
        """The files of the listeners' certificates; None without TLS."""
        if not self.tls_cert_file:
            return None
        client_ca = Path(self.tls_client_ca_file) if self.tls_client_ca_file else None
        return TlsFiles(Path(self.tls_cert_file), Path(self.tls_key_file), client_ca)

    @field_validator("tls_key_file", "tls_client_ca_file")
    @classmethod
    def _check_tls_files(cls, value: str, info: ValidationInfo) -> str:
        certificate = info.data.get("tls_cert_file", "")
        if info.field_name == "tls_key_file" and bool(certificate) != bool(value):
            raise ValueError(
                "does not stand alone: tls_cert_file and tls_key_file belong together; set both or neither"
            )
        if value and not certificate:
            raise ValueError("needs tls_cert_file and tls_key_file")
        return value

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str, info: ValidationInfo) -> str:
        data = info.data
        if _is_local(cls, value) or data.get("unsafe_no_auth", False):
            return value
        if not data.get("auth_file"):
            raise ValueError(
                f"is reachable from other machines, and callers are not authenticated; use a loopback address, "
                f"{_AUTHENTICATED}"
            )
        if not data.get("tls_cert_file") and not data.get("tls_terminated"):
            raise ValueError(
                "is reachable from other machines, and credentials would travel unencrypted; set tls_cert_file and "
                "tls_key_file, or tls_terminated if a proxy before Placet ends TLS"
            )
        return value

    @field_validator("mtls_listen")
    @classmethod
    def _check_mtls_listen(cls, value: str, info: ValidationInfo) -> str:
        unix = unix_path(info.data.get("listen", "")) is not None
        if not value and unix and info.data.get("tls_client_ca_file"):
            raise ValueError(
                "is needed: a unix socket cannot require the client certificates of tls_client_ca_file; set it to "
                "host:port, or remove tls_client_ca_file"
            )
        if not value:
            return value
        _host_of(cls, "mtls_listen", value)
        if not info.data.get("tls_client_ca_file"):
            raise ValueError("needs tls_client_ca_file, which says whose client certificates are accepted")
        if not info.data.get("auth_file"):
            raise ValueError("needs auth_file, which says what the clients of certificates may do")
        return _require_other_port(value, info)

    @field_validator("metrics_listen")
    @classmethod
    def _check_metrics_listen(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        protected = info.data.get("tls_client_ca_file") or info.data.get("unsafe_no_auth", False)
        if not is_loopback(_host_of(cls, "metrics_listen", value)) and not protected:
            raise ValueError(
                "is reachable from other machines, and its readers are not authenticated; use a loopback address, "
                "require client certificates with tls_client_ca_file, or accept the risk with --unsafe-no-auth"
            )
        return _require_other_port(value, info)

    @field_validator("http_listen")
    @classmethod
    def _check_http_listen(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        protected = any(info.data.get(name) for name in ("tls_cert_file", "tls_terminated", "unsafe_no_auth"))
        if not is_loopback(_host_of(cls, "http_listen", value)) and not protected:
            raise ValueError(
                "is reachable from other machines, and who is between could replace the public keys; set tls_cert_file "
                "and tls_key_file, or tls_terminated if a proxy before Placet ends TLS"
            )
        return _require_other_port(value, info)


def _require_other_port(value: str, info: ValidationInfo) -> str:
    for name, server in (("listen", "gRPC server"), ("mtls_listen", "gRPC server"), ("metrics_listen", "metrics")):
        if name != info.field_name and value == info.data.get(name) and not value.endswith(":0"):
            raise ValueError(f"is the address of the {server} ({name}); choose another port")
    return value


def _is_local(settings: type[BaseSettings], address: str) -> bool:
    """Return whether only this machine reaches the listen address. Raises ValueError as `_host_of` does."""
    return unix_path(address) is not None or is_loopback(_host_of(settings, "listen", address))


def _host_of(settings: type[BaseSettings], name: str, address: str) -> str:
    """Return the host of a listen address. Raises ValueError with an example when the address is invalid."""
    try:
        return split_address(address)[0]
    except ValueError as error:
        raise ValueError(f"{error}; write e.g. {(settings.model_fields[name].examples or [''])[0]}") from error
