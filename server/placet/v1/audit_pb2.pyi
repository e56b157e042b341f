import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from placet.v1 import decision_pb2 as _decision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordedDecision(_message.Message):
    __slots__ = ("decision", "tenant", "event_json", "input_json", "replayable", "not_replayable_reason", "received_at", "caller", "writer", "sequence", "record_hash", "idempotency_key", "caller_method", "caller_issuer", "user_method", "user_issuer")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EVENT_JSON_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    REPLAYABLE_FIELD_NUMBER: _ClassVar[int]
    NOT_REPLAYABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECORD_HASH_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CALLER_METHOD_FIELD_NUMBER: _ClassVar[int]
    CALLER_ISSUER_FIELD_NUMBER: _ClassVar[int]
    USER_METHOD_FIELD_NUMBER: _ClassVar[int]
    USER_ISSUER_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    tenant: str
    event_json: str
    input_json: str
    replayable: bool
    not_replayable_reason: str
    received_at: _timestamp_pb2.Timestamp
    caller: str
    writer: str
    sequence: int
    record_hash: str
    idempotency_key: str
    caller_method: str
    caller_issuer: str
    user_method: str
    user_issuer: str
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., tenant: _Optional[str] = ..., event_json: _Optional[str] = ..., input_json: _Optional[str] = ..., replayable: _Optional[bool] = ..., not_replayable_reason: _Optional[str] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., caller: _Optional[str] = ..., writer: _Optional[str] = ..., sequence: _Optional[int] = ..., record_hash: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., caller_method: _Optional[str] = ..., caller_issuer: _Optional[str] = ..., user_method: _Optional[str] = ..., user_issuer: _Optional[str] = ...) -> None: ...

class QueryDecisionsRequest(_message.Message):
    __slots__ = ("tenant", "effect", "rule_id", "tool", "run_id", "user", "agent", "decided_from", "decided_until", "page_size", "page_token", "caller", "person")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FROM_FIELD_NUMBER: _ClassVar[int]
    DECIDED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    effect: _decision_pb2.Effect
    rule_id: str
    tool: str
    run_id: str
    user: str
    agent: str
    decided_from: _timestamp_pb2.Timestamp
    decided_until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    caller: str
    person: str
    def __init__(self, tenant: _Optional[str] = ..., effect: _Optional[_Union[_decision_pb2.Effect, str]] = ..., rule_id: _Optional[str] = ..., tool: _Optional[str] = ..., run_id: _Optional[str] = ..., user: _Optional[str] = ..., agent: _Optional[str] = ..., decided_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., caller: _Optional[str] = ..., person: _Optional[str] = ...) -> None: ...

class QueryDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "next_page_token")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[RecordedDecision]
    next_page_token: str
    def __init__(self, decisions: _Optional[_Iterable[_Union[RecordedDecision, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("tenant", "decision_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    decision_id: str
    def __init__(self, tenant: _Optional[str] = ..., decision_id: _Optional[str] = ...) -> None: ...

class GetDecisionResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: RecordedDecision
    def __init__(self, decision: _Optional[_Union[RecordedDecision, _Mapping]] = ...) -> None: ...

class VerifyAuditRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyAuditResponse(_message.Message):
    __slots__ = ("ok", "records", "chains", "checkpoints", "problems")
    OK_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    CHAINS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    records: int
    chains: int
    checkpoints: int
    problems: _containers.RepeatedCompositeFieldContainer[AuditProblem]
    def __init__(self, ok: _Optional[bool] = ..., records: _Optional[int] = ..., chains: _Optional[int] = ..., checkpoints: _Optional[int] = ..., problems: _Optional[_Iterable[_Union[AuditProblem, _Mapping]]] = ...) -> None: ...

class AuditProblem(_message.Message):
    __slots__ = ("kind", "writer", "sequence", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    writer: str
    sequence: int
    detail: str
    def __init__(self, kind: _Optional[str] = ..., writer: _Optional[str] = ..., sequence: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...
