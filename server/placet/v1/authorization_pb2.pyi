from placet.v1 import action_pb2 as _action_pb2
from placet.v1 import decision_pb2 as _decision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuthorizeRequest(_message.Message):
    __slots__ = ("idempotency_key", "action", "identity", "run", "model", "evidence", "approval_id")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    action: _action_pb2.Action
    identity: _action_pb2.Identity
    run: _action_pb2.Run
    model: _action_pb2.Model
    evidence: _containers.RepeatedCompositeFieldContainer[_action_pb2.Evidence]
    approval_id: str
    def __init__(self, idempotency_key: _Optional[str] = ..., action: _Optional[_Union[_action_pb2.Action, _Mapping]] = ..., identity: _Optional[_Union[_action_pb2.Identity, _Mapping]] = ..., run: _Optional[_Union[_action_pb2.Run, _Mapping]] = ..., model: _Optional[_Union[_action_pb2.Model, _Mapping]] = ..., evidence: _Optional[_Iterable[_Union[_action_pb2.Evidence, _Mapping]]] = ..., approval_id: _Optional[str] = ...) -> None: ...

class AuthorizeResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ...) -> None: ...

class AuthorizeBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[AuthorizeRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[AuthorizeRequest, _Mapping]]] = ...) -> None: ...

class AuthorizeBatchResponse(_message.Message):
    __slots__ = ("decisions",)
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Decision]
    def __init__(self, decisions: _Optional[_Iterable[_Union[_decision_pb2.Decision, _Mapping]]] = ...) -> None: ...
