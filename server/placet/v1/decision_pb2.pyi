import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECT_UNSPECIFIED: _ClassVar[Effect]
    EFFECT_ALLOW: _ClassVar[Effect]
    EFFECT_DENY: _ClassVar[Effect]
    EFFECT_REQUIRE_APPROVAL: _ClassVar[Effect]

class Autonomy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTONOMY_UNSPECIFIED: _ClassVar[Autonomy]
    AUTONOMY_OBSERVE_ONLY: _ClassVar[Autonomy]
    AUTONOMY_DRAFT_ONLY: _ClassVar[Autonomy]
    AUTONOMY_EXECUTE_WITH_APPROVAL: _ClassVar[Autonomy]
    AUTONOMY_EXECUTE: _ClassVar[Autonomy]
EFFECT_UNSPECIFIED: Effect
EFFECT_ALLOW: Effect
EFFECT_DENY: Effect
EFFECT_REQUIRE_APPROVAL: Effect
AUTONOMY_UNSPECIFIED: Autonomy
AUTONOMY_OBSERVE_ONLY: Autonomy
AUTONOMY_DRAFT_ONLY: Autonomy
AUTONOMY_EXECUTE_WITH_APPROVAL: Autonomy
AUTONOMY_EXECUTE: Autonomy

class Finding(_message.Message):
    __slots__ = ("effect", "rule_id", "reason", "details")
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    effect: Effect
    rule_id: str
    reason: str
    details: _struct_pb2.Struct
    def __init__(self, effect: _Optional[_Union[Effect, str]] = ..., rule_id: _Optional[str] = ..., reason: _Optional[str] = ..., details: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Obligation(_message.Message):
    __slots__ = ("id", "details")
    ID_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    id: str
    details: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., details: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ApprovalRequirement(_message.Message):
    __slots__ = ("id", "expires_at", "quorum", "approver_roles", "url", "distinct_roles")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    QUORUM_FIELD_NUMBER: _ClassVar[int]
    APPROVER_ROLES_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_ROLES_FIELD_NUMBER: _ClassVar[int]
    id: str
    expires_at: _timestamp_pb2.Timestamp
    quorum: int
    approver_roles: _containers.RepeatedScalarFieldContainer[str]
    url: str
    distinct_roles: bool
    def __init__(self, id: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., quorum: _Optional[int] = ..., approver_roles: _Optional[_Iterable[str]] = ..., url: _Optional[str] = ..., distinct_roles: _Optional[bool] = ...) -> None: ...

class BudgetState(_message.Message):
    __slots__ = ("id", "remaining", "resets_at", "limit", "unit", "reserved")
    ID_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    id: str
    remaining: int
    resets_at: _timestamp_pb2.Timestamp
    limit: int
    unit: str
    reserved: int
    def __init__(self, id: _Optional[str] = ..., remaining: _Optional[int] = ..., resets_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ..., unit: _Optional[str] = ..., reserved: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("decision_id", "effect", "rule_id", "reason", "findings", "policy_revision", "obligations", "approval", "permit", "budgets", "autonomy", "shadow_effect", "action_digest", "decided_at", "used_approval_id")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    OBLIGATIONS_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    AUTONOMY_FIELD_NUMBER: _ClassVar[int]
    SHADOW_EFFECT_FIELD_NUMBER: _ClassVar[int]
    ACTION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    USED_APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    effect: Effect
    rule_id: str
    reason: str
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    policy_revision: str
    obligations: _containers.RepeatedCompositeFieldContainer[Obligation]
    approval: ApprovalRequirement
    permit: str
    budgets: _containers.RepeatedCompositeFieldContainer[BudgetState]
    autonomy: Autonomy
    shadow_effect: Effect
    action_digest: str
    decided_at: _timestamp_pb2.Timestamp
    used_approval_id: str
    def __init__(self, decision_id: _Optional[str] = ..., effect: _Optional[_Union[Effect, str]] = ..., rule_id: _Optional[str] = ..., reason: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., policy_revision: _Optional[str] = ..., obligations: _Optional[_Iterable[_Union[Obligation, _Mapping]]] = ..., approval: _Optional[_Union[ApprovalRequirement, _Mapping]] = ..., permit: _Optional[str] = ..., budgets: _Optional[_Iterable[_Union[BudgetState, _Mapping]]] = ..., autonomy: _Optional[_Union[Autonomy, str]] = ..., shadow_effect: _Optional[_Union[Effect, str]] = ..., action_digest: _Optional[str] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., used_approval_id: _Optional[str] = ...) -> None: ...
