"""TLS credentials of a client, from files or from variables of the environment."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final

import grpc

from placet.sdk._transport.options import is_unix

SYSTEM: Final = "system"
"""In place of a file of CAs: those that gRPC trusts by default."""
_CA: Final = "PLACET_TLS_CA_FILE"
_CERT: Final = "PLACET_CLIENT_CERT_FILE"
_KEY: Final = "PLACET_CLIENT_KEY_FILE"
_CERTIFICATE: Final = "CERTIFICATE"
_PRIVATE_KEY: Final = "PRIVATE KEY"
_ANOTHER_KEY: Final = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})
"""Reasons of OpenSSL: the key belongs to another certificate."""


def tls_credentials(ca_file: str = SYSTEM, cert_file: str = "", key_file: str = "") -> grpc.ChannelCredentials:
    """Return credentials for `Client(address, credentials=...)`.

    `ca_file` holds the CAs in PEM that may have signed the server's certificate. `cert_file` and `key_file` are the
    client's own certificate and key, for servers that require one. ValueError names a file that cannot be read
    or has no such content, and a key that is not the certificate's.
    """
    return _credentials({"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file})


def environment_credentials(address: str) -> grpc.ChannelCredentials | None:
    """Return the credentials that PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE describe.

    None without PLACET_TLS_CA_FILE, and for a unix socket: the connection is not encrypted. ValueError names what is
    wrong.
    """
    if is_unix(address):
        return None
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
    private_key, chain = _read(key, files[key], _PRIVATE_KEY), _read(cert, files[cert], _CERTIFICATE)
    _require_pair(files, cert, key)
    return grpc.ssl_channel_credentials(roots, private_key, chain)


def _require_pair(files: dict[str, str], cert: str, key: str) -> None:
    """Raise ValueError if OpenSSL cannot use the key with the certificate. gRPC says only that the handshake failed."""

    def no_passphrase() -> str:
        raise ValueError(f"{key}: {files[key]} is encrypted; use a key without a passphrase")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(files[cert], files[key], no_passphrase)
    except ssl.SSLError as error:
        if error.reason in _ANOTHER_KEY:
            text = f"{key}: {files[key]} is not the key of the first certificate in {files[cert]} ({cert}); use its key"
        else:
            text = f"{cert}: {files[cert]} cannot be used with {files[key]} ({key}): {error.reason}; check both files"
        raise ValueError(text) from error


def _read(name: str, path: str, content: str) -> bytes:
    """Return the file. gRPC says about wrong content only, with each call, that the handshake failed."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {path}: {error.strerror}") from error
    if f"{content}-----".encode() not in data:
        raise ValueError(f"{name}: {path} holds no {content.lower()} in PEM; check the file")
    return data
