"""Parses network addresses in settings."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

PORT_MAX: Final = 65_535
UNIX_PATH_BYTES_MAX: Final = 100
"""The kernel takes 107 bytes, of which a listener needs some for the name that the socket has while it is made."""
_UNIX: Final = "unix:"
_UNIX_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+")
"""Other characters would be escaped in the address, by every client in its own way."""
REGISTRY_SCHEMES: Final = ("oci", "oci+http")
"""Schemes of registries of OCI images. The second is for one on this machine."""
_POLICY_URL: Final = (
    "must be https://host/path, http://host/path on this machine, oci://registry/repository:tag, or file:///path"
)
_REPOSITORY: Final = re.compile(r"/[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?")


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[v6]:port`` into the host without brackets and the port.

    Raises ValueError for other forms.
    """
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        ipaddress.IPv6Address(host)
    elif ":" in host:
        raise ValueError("must be host:port; write an IPv6 address in brackets")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise ValueError(f"must be host:port with a port of 0 to {PORT_MAX}")
    return host, int(port)


def unix_path(address: str) -> str | None:
    """Return the path of ``unix:/path`` or ``unix:///path``; None for an address of another kind.

    Raises ValueError for a path that no socket can have.
    """
    if not address.startswith(_UNIX):
        return None
    path = address.removeprefix(_UNIX).removeprefix("//")
    if not _UNIX_PATH.fullmatch(path) or len(path) > UNIX_PATH_BYTES_MAX:
        raise ValueError(
            f"must be unix: and an absolute path of at most {UNIX_PATH_BYTES_MAX} letters, digits and characters of "
            "/._@+-"
        )
    return path


def is_local(address: str) -> bool:
    """Return whether only this machine reaches ``host:port`` or ``unix:/path``. Raises ValueError for other forms."""
    return unix_path(address) is not None or is_loopback(split_address(address)[0])


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches the host.

    Names other than ``localhost`` count as reachable by others.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_opa_address(value: str) -> None:
    """Raise ValueError unless the value is ``http://host:port`` or ``unix:///path``."""
    parts = urlsplit(value)
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        return
    if parts.scheme != "http" or not parts.netloc or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError("must be http://host:port or unix:///path")
    split_address(parts.netloc)


def check_policy_url(url: str) -> None:
    """Raise ValueError unless releases can be read from the address."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{_POLICY_URL}, in printable ASCII")
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
            raise ValueError(_POLICY_URL)
        return
    if parts.scheme not in {"https", "http", *REGISTRY_SCHEMES} or not parts.hostname or parts.port == 0:
        raise ValueError(_POLICY_URL)
    if parts.scheme in {"http", "oci+http"} and not is_loopback(parts.hostname):
        encrypted = parts.scheme.replace("+http", "").replace("http", "https")
        raise ValueError(f"must be {encrypted}://; {parts.scheme}:// is only for a server on this machine")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("must have no user, password and #fragment; name a token with policy_token_file")
    if parts.scheme in REGISTRY_SCHEMES and (parts.query or not _REPOSITORY.fullmatch(parts.path)):
        raise ValueError("must be oci://registry/repository:tag, in lower case but for the tag")
