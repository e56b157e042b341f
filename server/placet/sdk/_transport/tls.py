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
_CERTIFICATE: Final = "CERTIFICATE"
_PRIVATE_KEY: Final = "PRIVATE KEY"


def tls_credentials(ca_file: str = SYSTEM, cert_file: str = "", key_file: str = "") -> grpc.ChannelCredentials:
    """Return credentials for `Client(address, credentials=...)`.

    `ca_file` holds the CAs in PEM that may have signed the server's certificate. `cert_file` and `key_file` are the
    client's own certificate and key, for servers that require one. ValueError names a file that cannot be read
    or has no such content.
    """
    return _credentials({"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file})


def environment_credentials() -> grpc.ChannelCredentials | None:
    """Return the credentials that PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE describe.

    None without PLACET_TLS_CA_FILE: the connection is not encrypted. ValueError names what is wrong.
    """
    files = {name: os.environ.get(name, "") for name in (_CA, _CERT, _KEY)}
    if not files[_CA]:
        if files[_CERT] or files[_KEY]:
            raise ValueError(f'{_CERT} and {_KEY} need {_CA}; set it to the CAs of the server, or to "{SYSTEM}"')
        return None
    return _credentials(files)


def _credentials(files: dict[str, str]) -> grpc.ChannelCredentials:
    """Return the credentials from the files of the CAs, the certificate and the key, by the names of the arguments."""
    ca, cert, key = files
    if bool(files[cert]) != bool(files[key]):
        raise ValueError(f"{cert} and {key} belong together; set both or neither")
    roots = None if files[ca] == SYSTEM else _read(ca, files[ca], _CERTIFICATE)
    if not files[cert]:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(
        roots, _read(key, files[key], _PRIVATE_KEY), _read(cert, files[cert], _CERTIFICATE)
    )


def _read(name: str, path: str, content: str) -> bytes:
    """Return the file. gRPC says about wrong content only, with each call, that the handshake failed."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {path}: {error.strerror}") from error
    if f"{content}-----".encode() not in data:
        raise ValueError(f"{name}: {path} holds no {content.lower()} in PEM; check the file")
    return data
