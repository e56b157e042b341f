"""Keys to protobuf messages, and back."""

from __future__ import annotations

from typing import Final

from placet.sdk._wire.decode import time_from_proto
from placet.sdk._wire.fields import set_fields
from placet.sdk.keys import Key, KeyState
from placet.v1 import key_pb2, person_pb2

_STATES: Final = {key_pb2.KeyState.Value(f"KEY_STATE_{state.name}"): state for state in KeyState}


def rotate_request(after_seconds: int | None, reason: str, actor: str, *, withdraw: bool) -> key_pb2.RotateKeyRequest:
    """Return the message. Raises InvalidRequestError."""
    person = set_fields(person_pb2.Person(), "actor.", id=actor)
    message = key_pb2.RotateKeyRequest(use=key_pb2.KEY_USE_PERMIT, actor=person)
    return set_fields(message, "", after_seconds=after_seconds, reason=reason, withdraw=withdraw)


def key_from_proto(message: key_pb2.Key) -> Key:
    """Return the key."""
    return Key(
        message.id,
        _STATES.get(message.state, KeyState.UNSPECIFIED),
        time_from_proto(message.signs_from),
        time_from_proto(message.signs_until),
        time_from_proto(message.verifies_until),
    )
