"""The token that a client presents with each call: an access token of Placet, or a JWT."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from placet.sdk import failures
from placet.sdk._transport.options import is_unix
from placet.sdk.errors import error_from_failure
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    import grpc

    from placet.sdk._transport.options import Metadata

Token = str | Callable[[], str]
"""A token, or a function that returns the current one. It is called for each call, and must return at once."""
VARIABLE: Final = "PLACET_TOKEN"
TOKEN_BYTES_MAX: Final = 16_384
CREDENTIAL_REASONS: Final = frozenset({"CREDENTIAL_INVALID", "CREDENTIAL_EXPIRED", "CREDENTIAL_MISSING"})
"""Failures of the server that a newer token may not have."""


class UnusableTokenError(ValueError):
    """A token that cannot be sent. The message does not contain it."""


class Bearer:
    """The token of a client. Its text is in no message, and not in its repr.

    Raises TypeError or UnusableTokenError if the token cannot be sent.
    """

    def __init__(self, token: Token | None, *, allow_plaintext: bool) -> None:
        value: object = os.environ.get(VARIABLE) or None if token is None else token
        if value is not None and not isinstance(value, str) and not callable(value):
            raise TypeError(f"token must be text or a function, not {type(value).__name__}")
        if isinstance(value, str):
            _require_sendable(value, "token" if token is not None else VARIABLE)
        self._token = value
        self._allow_plaintext = allow_plaintext

    def require_private(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        """Raise UnusableTokenError if others could read the token on its way to the address."""
        if self._token is None or self._allow_plaintext or credentials is not None or _is_local(address):
            return
        raise UnusableTokenError(
            f"a token would be sent to {address} without TLS, where others can read it; set PLACET_TLS_CA_FILE or "
            "credentials, or in the SDK allow_plaintext_token where something else encrypts the connection"
        )

    def metadata(self) -> Metadata:
        """Return the metadata that presents the token; none without one. CallFailedError if the function fails."""
        if self._token is None:
            return ()
        if isinstance(self._token, str):
            return (("authorization", f"Bearer {self._token}"),)
        try:
            token = self._token()
            _require_sendable(token, "its result")
        except UnusableTokenError as error:
            raise error_from_failure(Failure(failures.ERROR, f"the token cannot be used: {error}")) from None
        except Exception as error:  # noqa: BLE001 - reported without its text, which may hold the token
            what = f"the token cannot be used: its function raised {type(error).__name__}"
            raise error_from_failure(Failure(failures.ERROR, what)) from None
        return (("authorization", f"Bearer {token}"),)

    def __repr__(self) -> str:
        return "Bearer(...)" if self._token is not None else "Bearer(None)"


def is_refused_credential(answer: object) -> bool:
    """Return whether the answer is a failure that says that the credential was not accepted."""
    return isinstance(answer, Failure) and answer.error in CREDENTIAL_REASONS


def _require_sendable(token: object, name: str) -> None:
    if not isinstance(token, str):
        raise TypeError(f"{name} must be text, not {type(token).__name__}")
    if not 1 <= len(token) <= TOKEN_BYTES_MAX or not token.isascii() or not token.isprintable() or " " in token:
        raise UnusableTokenError(
            f"{name} must be 1 to {TOKEN_BYTES_MAX} ASCII characters without spaces and line breaks; "
            'give the token alone, without "Bearer", and strip what was read from a file'
        )


def _is_local(address: str) -> bool:
    """Return whether nothing that is sent to the address leaves this machine."""
    if is_unix(address):
        return True
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
