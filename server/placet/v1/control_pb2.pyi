import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EngineMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENGINE_MODE_UNSPECIFIED: _ClassVar[EngineMode]
    ENGINE_MODE_MANAGED: _ClassVar[EngineMode]
    ENGINE_MODE_EXTERNAL: _ClassVar[EngineMode]
ENGINE_MODE_UNSPECIFIED: EngineMode
ENGINE_MODE_MANAGED: EngineMode
ENGINE_MODE_EXTERNAL: EngineMode

class GetPolicyStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyStatusResponse(_message.Message):
    __slots__ = ("ready", "policy_revision", "loaded_at", "confirmed_at", "engine_mode", "engine_version", "engine_restarts", "tenants", "reloads_accepted", "reloads_refused", "last_error", "last_error_at")
    READY_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    LOADED_AT_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_AT_FIELD_NUMBER: _ClassVar[int]
    ENGINE_MODE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    RELOADS_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    RELOADS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_AT_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    policy_revision: str
    loaded_at: _timestamp_pb2.Timestamp
    confirmed_at: _timestamp_pb2.Timestamp
    engine_mode: EngineMode
    engine_version: str
    engine_restarts: int
    tenants: _containers.RepeatedScalarFieldContainer[str]
    reloads_accepted: int
    reloads_refused: int
    last_error: str
    last_error_at: _timestamp_pb2.Timestamp
    def __init__(self, ready: _Optional[bool] = ..., policy_revision: _Optional[str] = ..., loaded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., confirmed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., engine_mode: _Optional[_Union[EngineMode, str]] = ..., engine_version: _Optional[str] = ..., engine_restarts: _Optional[int] = ..., tenants: _Optional[_Iterable[str]] = ..., reloads_accepted: _Optional[int] = ..., reloads_refused: _Optional[int] = ..., last_error: _Optional[str] = ..., last_error_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
