import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from placet.v1 import person_pb2 as _person_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyUse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_USE_UNSPECIFIED: _ClassVar[KeyUse]
    KEY_USE_PERMIT: _ClassVar[KeyUse]

class KeyState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_STATE_UNSPECIFIED: _ClassVar[KeyState]
    KEY_STATE_WAITS: _ClassVar[KeyState]
    KEY_STATE_SIGNS: _ClassVar[KeyState]
    KEY_STATE_VERIFIES: _ClassVar[KeyState]
    KEY_STATE_EXPIRED: _ClassVar[KeyState]
KEY_USE_UNSPECIFIED: KeyUse
KEY_USE_PERMIT: KeyUse
KEY_STATE_UNSPECIFIED: KeyState
KEY_STATE_WAITS: KeyState
KEY_STATE_SIGNS: KeyState
KEY_STATE_VERIFIES: KeyState
KEY_STATE_EXPIRED: KeyState

class Key(_message.Message):
    __slots__ = ("id", "use", "state", "signs_from", "signs_until", "verifies_until")
    ID_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SIGNS_FROM_FIELD_NUMBER: _ClassVar[int]
    SIGNS_UNTIL_FIELD_NUMBER: _ClassVar[int]
    VERIFIES_UNTIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    use: KeyUse
    state: KeyState
    signs_from: _timestamp_pb2.Timestamp
    signs_until: _timestamp_pb2.Timestamp
    verifies_until: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., use: _Optional[_Union[KeyUse, str]] = ..., state: _Optional[_Union[KeyState, str]] = ..., signs_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., signs_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verifies_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[Key]
    def __init__(self, keys: _Optional[_Iterable[_Union[Key, _Mapping]]] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("use", "after_seconds", "withdraw", "actor", "reason")
    USE_FIELD_NUMBER: _ClassVar[int]
    AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    use: KeyUse
    after_seconds: int
    withdraw: bool
    actor: _person_pb2.Person
    reason: str
    def __init__(self, use: _Optional[_Union[KeyUse, str]] = ..., after_seconds: _Optional[int] = ..., withdraw: _Optional[bool] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: Key
    def __init__(self, key: _Optional[_Union[Key, _Mapping]] = ...) -> None: ...
