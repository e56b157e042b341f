import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from placet.v1 import action_pb2 as _action_pb2
from placet.v1 import decision_pb2 as _decision_pb2
from placet.v1 import person_pb2 as _person_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApprovalState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPROVAL_STATE_UNSPECIFIED: _ClassVar[ApprovalState]
    APPROVAL_STATE_PENDING: _ClassVar[ApprovalState]
    APPROVAL_STATE_APPROVED: _ClassVar[ApprovalState]
    APPROVAL_STATE_REJECTED: _ClassVar[ApprovalState]
    APPROVAL_STATE_EXPIRED: _ClassVar[ApprovalState]
    APPROVAL_STATE_CANCELLED: _ClassVar[ApprovalState]
    APPROVAL_STATE_USED: _ClassVar[ApprovalState]
APPROVAL_STATE_UNSPECIFIED: ApprovalState
APPROVAL_STATE_PENDING: ApprovalState
APPROVAL_STATE_APPROVED: ApprovalState
APPROVAL_STATE_REJECTED: ApprovalState
APPROVAL_STATE_EXPIRED: ApprovalState
APPROVAL_STATE_CANCELLED: ApprovalState
APPROVAL_STATE_USED: ApprovalState

class Vote(_message.Message):
    __slots__ = ("person", "role", "approve", "reason", "at", "void_reason")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    VOID_REASON_FIELD_NUMBER: _ClassVar[int]
    person: str
    role: str
    approve: bool
    reason: str
    at: _timestamp_pb2.Timestamp
    void_reason: str
    def __init__(self, person: _Optional[str] = ..., role: _Optional[str] = ..., approve: _Optional[bool] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., void_reason: _Optional[str] = ...) -> None: ...

class SimilarDecisions(_message.Message):
    __slots__ = ("allowed", "denied", "approval_required")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    allowed: int
    denied: int
    approval_required: int
    def __init__(self, allowed: _Optional[int] = ..., denied: _Optional[int] = ..., approval_required: _Optional[int] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("id", "tenant", "decision_id", "state", "action", "params_redacted", "identity", "run", "model", "rule_id", "reason", "findings", "policy_revision", "action_digest", "quorum", "approver_roles", "distinct_roles", "votes", "created_at", "expires_at", "decided_at", "used_by_decision_id", "budgets", "similar")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PARAMS_REDACTED_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    ACTION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    QUORUM_FIELD_NUMBER: _ClassVar[int]
    APPROVER_ROLES_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_ROLES_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    USED_BY_DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    SIMILAR_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    decision_id: str
    state: ApprovalState
    action: _action_pb2.Action
    params_redacted: bool
    identity: _action_pb2.Identity
    run: _action_pb2.Run
    model: _action_pb2.Model
    rule_id: str
    reason: str
    findings: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Finding]
    policy_revision: str
    action_digest: str
    quorum: int
    approver_roles: _containers.RepeatedScalarFieldContainer[str]
    distinct_roles: bool
    votes: _containers.RepeatedCompositeFieldContainer[Vote]
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    decided_at: _timestamp_pb2.Timestamp
    used_by_decision_id: str
    budgets: _containers.RepeatedCompositeFieldContainer[_decision_pb2.BudgetState]
    similar: SimilarDecisions
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., decision_id: _Optional[str] = ..., state: _Optional[_Union[ApprovalState, str]] = ..., action: _Optional[_Union[_action_pb2.Action, _Mapping]] = ..., params_redacted: _Optional[bool] = ..., identity: _Optional[_Union[_action_pb2.Identity, _Mapping]] = ..., run: _Optional[_Union[_action_pb2.Run, _Mapping]] = ..., model: _Optional[_Union[_action_pb2.Model, _Mapping]] = ..., rule_id: _Optional[str] = ..., reason: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[_decision_pb2.Finding, _Mapping]]] = ..., policy_revision: _Optional[str] = ..., action_digest: _Optional[str] = ..., quorum: _Optional[int] = ..., approver_roles: _Optional[_Iterable[str]] = ..., distinct_roles: _Optional[bool] = ..., votes: _Optional[_Iterable[_Union[Vote, _Mapping]]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., used_by_decision_id: _Optional[str] = ..., budgets: _Optional[_Iterable[_Union[_decision_pb2.BudgetState, _Mapping]]] = ..., similar: _Optional[_Union[SimilarDecisions, _Mapping]] = ...) -> None: ...

class ListApprovalsRequest(_message.Message):
    __slots__ = ("tenant", "state", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    state: ApprovalState
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., state: _Optional[_Union[ApprovalState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListApprovalsResponse(_message.Message):
    __slots__ = ("approvals", "next_page_token")
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    next_page_token: str
    def __init__(self, approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetApprovalRequest(_message.Message):
    __slots__ = ("tenant", "approval_id", "viewer")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    VIEWER_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    approval_id: str
    viewer: _person_pb2.Person
    def __init__(self, tenant: _Optional[str] = ..., approval_id: _Optional[str] = ..., viewer: _Optional[_Union[_person_pb2.Person, _Mapping]] = ...) -> None: ...

class GetApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class ApproveActionRequest(_message.Message):
    __slots__ = ("tenant", "approval_id", "approver", "reason", "action_digest")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    approval_id: str
    approver: _person_pb2.Person
    reason: str
    action_digest: str
    def __init__(self, tenant: _Optional[str] = ..., approval_id: _Optional[str] = ..., approver: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ..., action_digest: _Optional[str] = ...) -> None: ...

class ApproveActionResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class RejectActionRequest(_message.Message):
    __slots__ = ("tenant", "approval_id", "approver", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    approval_id: str
    approver: _person_pb2.Person
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., approval_id: _Optional[str] = ..., approver: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class RejectActionResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class CancelApprovalRequest(_message.Message):
    __slots__ = ("tenant", "approval_id", "actor", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    approval_id: str
    actor: _person_pb2.Person
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., approval_id: _Optional[str] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class VoidVotesRequest(_message.Message):
    __slots__ = ("tenant", "person", "actor", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    person: str
    actor: _person_pb2.Person
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., person: _Optional[str] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class VoidVotesResponse(_message.Message):
    __slots__ = ("voided", "used", "voided_count", "used_count", "used_voided_count", "revoked_decision_ids", "revoked_count", "tenants_without_groups")
    VOIDED_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    VOIDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    USED_COUNT_FIELD_NUMBER: _ClassVar[int]
    USED_VOIDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_DECISION_IDS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TENANTS_WITHOUT_GROUPS_FIELD_NUMBER: _ClassVar[int]
    voided: _containers.RepeatedCompositeFieldContainer[Approval]
    used: _containers.RepeatedCompositeFieldContainer[Approval]
    voided_count: int
    used_count: int
    used_voided_count: int
    revoked_decision_ids: _containers.RepeatedScalarFieldContainer[str]
    revoked_count: int
    tenants_without_groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, voided: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., used: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., voided_count: _Optional[int] = ..., used_count: _Optional[int] = ..., used_voided_count: _Optional[int] = ..., revoked_decision_ids: _Optional[_Iterable[str]] = ..., revoked_count: _Optional[int] = ..., tenants_without_groups: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchApprovalsRequest(_message.Message):
    __slots__ = ("tenant", "cursor")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    cursor: str
    def __init__(self, tenant: _Optional[str] = ..., cursor: _Optional[str] = ...) -> None: ...

class WatchApprovalsResponse(_message.Message):
    __slots__ = ("cursor", "approval")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    approval: Approval
    def __init__(self, cursor: _Optional[str] = ..., approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...
