"""The servicer of placet.v1.KeyService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import FailedPreconditionError
from placet.kernel.limits import PERMIT_KEY_LEAD_SECONDS, PERMIT_KEY_OVERLAP_SECONDS
from placet.kernel.reasons import KEYS_IN_FILES, REFUSALS
from placet.permits.claims import KeyState
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.controls import actor_of, reason_of
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.to_proto import optional_timestamp
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import key_pb2, key_pb2_grpc

if TYPE_CHECKING:
    from placet.kernel.clock import Clock
    from placet.keys.service import SharedKeyChanges
    from placet.permits.claims import PermitKey, PermitKeys
    from placet.transport.grpc.context import Context

_STATES: Final = enum_codec(KeyState, key_pb2.KeyState)
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True)
class KeyServicer(key_pb2_grpc.KeyServiceServicer):
    """Lists and rotates permit keys. `changes` is None where they are files, which this server does not write."""

    keys: PermitKeys
    changes: SharedKeyChanges | None
    clock: Clock

    async def ListKeys(self, _request: key_pb2.ListKeysRequest, _context: Context) -> key_pb2.ListKeysResponse:
        """List the keys that verify permits now or later."""
        now = self._now()
        return key_pb2.ListKeysResponse(keys=[_key_to_proto(key, now) for key in self.keys.known()])

    async def RotateKey(self, request: key_pb2.RotateKeyRequest, _context: Context) -> key_pb2.RotateKeyResponse:
        """Create a permit key."""
        validator = RequestValidator()
        if request.use != key_pb2.KEY_USE_PERMIT:
            validator.violation("use", "is required; set KEY_USE_PERMIT")
        after_seconds = request.after_seconds if request.HasField("after_seconds") else PERMIT_KEY_LEAD_SECONDS
        validator.count("after_seconds", after_seconds, PERMIT_KEY_OVERLAP_SECONDS)
        if request.withdraw and request.after_seconds:
            validator.violation("after_seconds", "must be 0 or unset with withdraw: the new key signs at once")
        actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
        validator.require_valid()
        if self.changes is None:
            raise FailedPreconditionError(KEYS_IN_FILES, REFUSALS[KEYS_IN_FILES])
        key = await self.changes.rotate(after_seconds, actor, reason, current_caller(), withdraw=request.withdraw)
        return key_pb2.RotateKeyResponse(key=_key_to_proto(key, self._now()))

    def _now(self) -> int:
        return self.clock.wall_us() // _SECOND_US


def _key_to_proto(key: PermitKey, now: int) -> key_pb2.Key:
    return key_pb2.Key(
        id=key.key_id,
        use=key_pb2.KEY_USE_PERMIT,
        state=_STATES.to_wire[key.state_at(now)],
        signs_from=optional_timestamp(key.signs_from * _SECOND_US),
        signs_until=optional_timestamp(key.signs_until * _SECOND_US),
        verifies_until=optional_timestamp(key.verifies_until * _SECOND_US),
    )
