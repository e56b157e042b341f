"""The addresses of providers: HTTPS, or HTTP to this machine."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlsplit

from placet.matching.addresses import is_loopback

URL_CHARS_MAX: Final = 2_048
_FORM: Final = "must be https://host/path"


def url_error(url: str) -> str:
    """Return what is wrong with the address of a provider; empty when nothing is."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > URL_CHARS_MAX:
        return f"{_FORM}, in at most {URL_CHARS_MAX} characters of printable ASCII"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _FORM
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        return _FORM
    if parts.scheme == "http" and not is_on_this_machine(parts):
        return "must be https://, because an attacker who changes the answer on its way could call as anybody"
    if "@" in parts.netloc or parts.fragment:
        return "must have no user, password and #fragment"
    return ""


def is_on_this_machine(parts: SplitResult) -> bool:
    """Return whether the host is a loopback address or ``localhost``."""
    return is_loopback(parts.hostname or "")
