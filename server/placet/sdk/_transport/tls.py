"""TLS credentials of a client, from files or from variables of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import grpc

SYSTEM: Final = "system"
"""In place of a file of CAs: those that gRPC trusts by default."""
_CA: Final = "PLACET_TLS_CA_FILE"
_CERT: Final = "PLACET_CLIENT_CERT_FILE"
_KEY: Final = "PLACET_CLIENT_KEY_FILE"


def tls_credentials(ca_file: str = SYSTEM, cert_file: str = "", key_file: str = "") -> grpc.ChannelCredentials:
    """Return credentials for `Client(address, credentials=...)`.

    `ca_file` holds the CAs in PEM that may have signed the server's certificate. `cert_file` and `key_file` are the
    client's own certificate and key, for servers that require one. ValueError names a file that cannot be read.
    """
    if bool(cert_file) != bool(key_file):
        raise ValueError("cert_file and key_file belong together; set both or neither")
    roots = None if ca_file == SYSTEM else _read("ca_file", ca_file)
    if not cert_file:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(roots, _read("key_file", key_file), _read("cert_file", cert_file))


def environment_credentials() -> grpc.ChannelCredentials | None:
    """Return the credentials that PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE describe.

    None without PLACET_TLS_CA_FILE: the connection is not encrypted. ValueError names what is wrong.
    """
    ca_file, cert_file, key_file = (os.environ.get(name, "") for name in (_CA, _CERT, _KEY))
    if not ca_file:
        if cert_file or key_file:
            raise ValueError(f'{_CERT} and {_KEY} need {_CA}; set it to the CAs of the server, or to "{SYSTEM}"')
        return None
    return tls_credentials(ca_file, cert_file, key_file)


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {path}: {error.strerror}") from error
