import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from placet.v1 import action_pb2 as _action_pb2
from placet.v1 import decision_pb2 as _decision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OutcomeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_STATUS_UNSPECIFIED: _ClassVar[OutcomeStatus]
    OUTCOME_STATUS_SUCCEEDED: _ClassVar[OutcomeStatus]
    OUTCOME_STATUS_FAILED: _ClassVar[OutcomeStatus]
    OUTCOME_STATUS_NOT_EXECUTED: _ClassVar[OutcomeStatus]
    OUTCOME_STATUS_UNKNOWN: _ClassVar[OutcomeStatus]

class DecisionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_STATE_UNSPECIFIED: _ClassVar[DecisionState]
    DECISION_STATE_PENDING: _ClassVar[DecisionState]
    DECISION_STATE_APPROVED: _ClassVar[DecisionState]
    DECISION_STATE_REJECTED: _ClassVar[DecisionState]
    DECISION_STATE_EXPIRED: _ClassVar[DecisionState]
    DECISION_STATE_CANCELLED: _ClassVar[DecisionState]
    DECISION_STATE_USED: _ClassVar[DecisionState]
    DECISION_STATE_ALLOWED: _ClassVar[DecisionState]
    DECISION_STATE_REVOKED: _ClassVar[DecisionState]
    DECISION_STATE_ENDED: _ClassVar[DecisionState]
OUTCOME_STATUS_UNSPECIFIED: OutcomeStatus
OUTCOME_STATUS_SUCCEEDED: OutcomeStatus
OUTCOME_STATUS_FAILED: OutcomeStatus
OUTCOME_STATUS_NOT_EXECUTED: OutcomeStatus
OUTCOME_STATUS_UNKNOWN: OutcomeStatus
DECISION_STATE_UNSPECIFIED: DecisionState
DECISION_STATE_PENDING: DecisionState
DECISION_STATE_APPROVED: DecisionState
DECISION_STATE_REJECTED: DecisionState
DECISION_STATE_EXPIRED: DecisionState
DECISION_STATE_CANCELLED: DecisionState
DECISION_STATE_USED: DecisionState
DECISION_STATE_ALLOWED: DecisionState
DECISION_STATE_REVOKED: DecisionState
DECISION_STATE_ENDED: DecisionState

class AuthorizeRequest(_message.Message):
    __slots__ = ("idempotency_key", "action", "identity", "run", "model", "evidence", "approval_id", "include_permit")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PERMIT_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    action: _action_pb2.Action
    identity: _action_pb2.Identity
    run: _action_pb2.Run
    model: _action_pb2.Model
    evidence: _containers.RepeatedCompositeFieldContainer[_action_pb2.Evidence]
    approval_id: str
    include_permit: bool
    def __init__(self, idempotency_key: _Optional[str] = ..., action: _Optional[_Union[_action_pb2.Action, _Mapping]] = ..., identity: _Optional[_Union[_action_pb2.Identity, _Mapping]] = ..., run: _Optional[_Union[_action_pb2.Run, _Mapping]] = ..., model: _Optional[_Union[_action_pb2.Model, _Mapping]] = ..., evidence: _Optional[_Iterable[_Union[_action_pb2.Evidence, _Mapping]]] = ..., approval_id: _Optional[str] = ..., include_permit: _Optional[bool] = ...) -> None: ...

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

class AuthorizeStreamRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[StreamedRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[StreamedRequest, _Mapping]]] = ...) -> None: ...

class StreamedRequest(_message.Message):
    __slots__ = ("id", "request", "timeout_ms", "traceparent")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    request: AuthorizeRequest
    timeout_ms: int
    traceparent: str
    def __init__(self, id: _Optional[str] = ..., request: _Optional[_Union[AuthorizeRequest, _Mapping]] = ..., timeout_ms: _Optional[int] = ..., traceparent: _Optional[str] = ...) -> None: ...

class AuthorizeStreamResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[StreamedResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[StreamedResponse, _Mapping]]] = ...) -> None: ...

class StreamedResponse(_message.Message):
    __slots__ = ("id", "decision", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    decision: _decision_pb2.Decision
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("tenant", "decision_id", "status", "latency_ms", "tokens", "cost_micros", "amount_minor_units", "error_class", "result_digest", "permit")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    ERROR_CLASS_FIELD_NUMBER: _ClassVar[int]
    RESULT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    decision_id: str
    status: OutcomeStatus
    latency_ms: int
    tokens: int
    cost_micros: int
    amount_minor_units: int
    error_class: str
    result_digest: str
    permit: str
    def __init__(self, tenant: _Optional[str] = ..., decision_id: _Optional[str] = ..., status: _Optional[_Union[OutcomeStatus, str]] = ..., latency_ms: _Optional[int] = ..., tokens: _Optional[int] = ..., cost_micros: _Optional[int] = ..., amount_minor_units: _Optional[int] = ..., error_class: _Optional[str] = ..., result_digest: _Optional[str] = ..., permit: _Optional[str] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ("repeated", "late", "overspent", "held", "duplicate", "exceeded_budget_ids", "kept_budget_ids")
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    OVERSPENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    EXCEEDED_BUDGET_IDS_FIELD_NUMBER: _ClassVar[int]
    KEPT_BUDGET_IDS_FIELD_NUMBER: _ClassVar[int]
    repeated: bool
    late: bool
    overspent: _containers.RepeatedScalarFieldContainer[str]
    held: _containers.RepeatedScalarFieldContainer[str]
    duplicate: bool
    exceeded_budget_ids: _containers.RepeatedScalarFieldContainer[str]
    kept_budget_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, repeated: _Optional[bool] = ..., late: _Optional[bool] = ..., overspent: _Optional[_Iterable[str]] = ..., held: _Optional[_Iterable[str]] = ..., duplicate: _Optional[bool] = ..., exceeded_budget_ids: _Optional[_Iterable[str]] = ..., kept_budget_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchDecisionRequest(_message.Message):
    __slots__ = ("tenant", "decision_id", "cursor")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    decision_id: str
    cursor: str
    def __init__(self, tenant: _Optional[str] = ..., decision_id: _Optional[str] = ..., cursor: _Optional[str] = ...) -> None: ...

class WatchDecisionResponse(_message.Message):
    __slots__ = ("cursor", "state", "approval_id", "reason", "at")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    state: DecisionState
    approval_id: str
    reason: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, cursor: _Optional[str] = ..., state: _Optional[_Union[DecisionState, str]] = ..., approval_id: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
