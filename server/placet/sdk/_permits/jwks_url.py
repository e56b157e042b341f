"""Fetches a JWK set over HTTP."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTES_MAX: Final = 1_048_576
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def fetcher_of(url: str, *, ca_file: str, timeout: float) -> Callable[[], str]:
    """Return a function that fetches the text at the URL. It raises OSError or ValueError if it cannot.

    Raises ValueError if the URL is neither https nor http on this host, and OSError if `ca_file` cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError(
            "must begin with https://, or with http:// and this host, so that the keys cannot be replaced on the way"
        )
    context = ssl.create_default_context(cafile=ca_file or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)

    def fetch() -> str:
        with opener.open(url, timeout=timeout) as response:
            content: bytes = response.read(_BYTES_MAX)
            return content.decode()

    return fetch


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: another address was not trusted."""

    def redirect_request(self, req: Any, fp: Any, code: int, _msg: str, headers: Any, newurl: str) -> None:  # noqa: ANN401 - as the base class
        """Refuse."""
        raise urllib.error.HTTPError(req.full_url, code, f"redirects to {newurl}; write that address", headers, fp)
