# Generated from server/placet/sdk/_async/keys.py by deploy/tools/sync_sdk.py. Do not edit.
"""The client of operators who rotate keys, for code that blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk._sync.base import BaseClient
from placet.sdk._wire import methods
from placet.sdk._wire.keys import key_from_proto, rotate_request
from placet.v1 import key_pb2

if TYPE_CHECKING:
    from placet.sdk.keys import Key


class KeyClient(BaseClient):
    """Client of an operator: lists and rotates the keys that sign permits.

    ::

        from placet.sdk import KeyClient

        with KeyClient("127.0.0.1:7070") as keys:
            keys.rotate_permit_key(actor="u_ann", reason="yearly rotation")

    Safe to use from several threads.

    Args:
        address: Address of the server, ``host:port`` or ``unix:/path``.
        timeout: Default timeout of a call in seconds, more than 0 and at most 300.
        credentials: Credentials of a TLS connection, see `tls_credentials`. None takes them from the variables
            PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE; without them there is no TLS.
        token: Token of the caller, an access token or a JWT; or a function that returns the current one. It is called
            for each call, and must return at once. None takes the token from the variable PLACET_TOKEN, if that is set.
        allow_plaintext_token: True to send the token without TLS beyond this host, where something else encrypts.

    Each method raises CallFailedError if the call fails, and InvalidRequestError if an argument is invalid. A call that
    changes something is sent once; if there is no response, the change may have been made.
    """

    def list(self) -> tuple[Key, ...]:
        """Return the keys, oldest first."""
        request, parse = key_pb2.ListKeysRequest(), key_pb2.ListKeysResponse.FromString
        response = self._channel.read(methods.LIST_KEYS, request, parse, self._timeout)
        return tuple(map(key_from_proto, response.keys))

    def rotate_permit_key(
        self, *, reason: str, actor: str = "", after_seconds: int | None = None, withdraw: bool = False
    ) -> Key:
        """Create a key that signs permits after so many seconds, at most 86,400. None means 60.

        It is published at once, and the previous key verifies for a day. `withdraw` removes all other keys at once,
        because others may have read them: their permits are refused, and the new key signs at once. Refused where the
        keys of the server are files. `actor` is the person who rotates, empty where the credential says so.
        """
        request = rotate_request(after_seconds, reason, actor, withdraw=withdraw)
        parse = key_pb2.RotateKeyResponse.FromString
        return key_from_proto((self._channel.change(methods.ROTATE_KEY, request, parse, self._timeout)).key)
