import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from placet.v1 import decision_pb2 as _decision_pb2
from placet.v1 import person_pb2 as _person_pb2
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

class AgentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_STATE_UNSPECIFIED: _ClassVar[AgentState]
    AGENT_STATE_ACTIVE: _ClassVar[AgentState]
    AGENT_STATE_UNUSED: _ClassVar[AgentState]
    AGENT_STATE_EXPIRED: _ClassVar[AgentState]
    AGENT_STATE_UNREGISTERED: _ClassVar[AgentState]

class BudgetScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_SCOPE_UNSPECIFIED: _ClassVar[BudgetScope]
    BUDGET_SCOPE_RUN: _ClassVar[BudgetScope]
    BUDGET_SCOPE_WORKFLOW: _ClassVar[BudgetScope]
    BUDGET_SCOPE_USER: _ClassVar[BudgetScope]
    BUDGET_SCOPE_AGENT: _ClassVar[BudgetScope]
    BUDGET_SCOPE_TENANT: _ClassVar[BudgetScope]
    BUDGET_SCOPE_TOOL: _ClassVar[BudgetScope]
    BUDGET_SCOPE_CUSTOMER: _ClassVar[BudgetScope]

class BudgetWindow(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_WINDOW_UNSPECIFIED: _ClassVar[BudgetWindow]
    BUDGET_WINDOW_RUN: _ClassVar[BudgetWindow]
    BUDGET_WINDOW_MINUTE: _ClassVar[BudgetWindow]
    BUDGET_WINDOW_HOUR: _ClassVar[BudgetWindow]
    BUDGET_WINDOW_DAY: _ClassVar[BudgetWindow]
    BUDGET_WINDOW_MONTH: _ClassVar[BudgetWindow]
    BUDGET_WINDOW_LIFETIME: _ClassVar[BudgetWindow]

class BudgetExceedAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_EXCEED_ACTION_UNSPECIFIED: _ClassVar[BudgetExceedAction]
    BUDGET_EXCEED_ACTION_DENY: _ClassVar[BudgetExceedAction]
    BUDGET_EXCEED_ACTION_REQUIRE_APPROVAL: _ClassVar[BudgetExceedAction]
    BUDGET_EXCEED_ACTION_DRAFT_ONLY: _ClassVar[BudgetExceedAction]

class ExcessVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXCESS_VERDICT_UNSPECIFIED: _ClassVar[ExcessVerdict]
    EXCESS_VERDICT_ACCEPT: _ClassVar[ExcessVerdict]
    EXCESS_VERDICT_DROP: _ClassVar[ExcessVerdict]
ENGINE_MODE_UNSPECIFIED: EngineMode
ENGINE_MODE_MANAGED: EngineMode
ENGINE_MODE_EXTERNAL: EngineMode
AGENT_STATE_UNSPECIFIED: AgentState
AGENT_STATE_ACTIVE: AgentState
AGENT_STATE_UNUSED: AgentState
AGENT_STATE_EXPIRED: AgentState
AGENT_STATE_UNREGISTERED: AgentState
BUDGET_SCOPE_UNSPECIFIED: BudgetScope
BUDGET_SCOPE_RUN: BudgetScope
BUDGET_SCOPE_WORKFLOW: BudgetScope
BUDGET_SCOPE_USER: BudgetScope
BUDGET_SCOPE_AGENT: BudgetScope
BUDGET_SCOPE_TENANT: BudgetScope
BUDGET_SCOPE_TOOL: BudgetScope
BUDGET_SCOPE_CUSTOMER: BudgetScope
BUDGET_WINDOW_UNSPECIFIED: BudgetWindow
BUDGET_WINDOW_RUN: BudgetWindow
BUDGET_WINDOW_MINUTE: BudgetWindow
BUDGET_WINDOW_HOUR: BudgetWindow
BUDGET_WINDOW_DAY: BudgetWindow
BUDGET_WINDOW_MONTH: BudgetWindow
BUDGET_WINDOW_LIFETIME: BudgetWindow
BUDGET_EXCEED_ACTION_UNSPECIFIED: BudgetExceedAction
BUDGET_EXCEED_ACTION_DENY: BudgetExceedAction
BUDGET_EXCEED_ACTION_REQUIRE_APPROVAL: BudgetExceedAction
BUDGET_EXCEED_ACTION_DRAFT_ONLY: BudgetExceedAction
EXCESS_VERDICT_UNSPECIFIED: ExcessVerdict
EXCESS_VERDICT_ACCEPT: ExcessVerdict
EXCESS_VERDICT_DROP: ExcessVerdict

class GetPolicyStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyStatusResponse(_message.Message):
    __slots__ = ("ready", "policy_revision", "loaded_at", "confirmed_at", "engine_mode", "engine_version", "engine_restarts", "tenants", "reloads_accepted", "reloads_refused", "last_error", "last_error_at", "serving", "not_serving_reasons", "refused_since", "unseen_since", "decides_until", "stale", "git_commit", "store_error", "data_dir_free_bytes", "held_revision", "held_since", "held_reasons", "slow_packs", "issuers_unreadable", "pushed_by", "held_pushed_by")
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
    SERVING_FIELD_NUMBER: _ClassVar[int]
    NOT_SERVING_REASONS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_SINCE_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_SINCE_FIELD_NUMBER: _ClassVar[int]
    DECIDES_UNTIL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    GIT_COMMIT_FIELD_NUMBER: _ClassVar[int]
    STORE_ERROR_FIELD_NUMBER: _ClassVar[int]
    DATA_DIR_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_REVISION_FIELD_NUMBER: _ClassVar[int]
    HELD_SINCE_FIELD_NUMBER: _ClassVar[int]
    HELD_REASONS_FIELD_NUMBER: _ClassVar[int]
    SLOW_PACKS_FIELD_NUMBER: _ClassVar[int]
    ISSUERS_UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    PUSHED_BY_FIELD_NUMBER: _ClassVar[int]
    HELD_PUSHED_BY_FIELD_NUMBER: _ClassVar[int]
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
    serving: bool
    not_serving_reasons: _containers.RepeatedScalarFieldContainer[str]
    refused_since: _timestamp_pb2.Timestamp
    unseen_since: _timestamp_pb2.Timestamp
    decides_until: _timestamp_pb2.Timestamp
    stale: bool
    git_commit: str
    store_error: str
    data_dir_free_bytes: int
    held_revision: str
    held_since: _timestamp_pb2.Timestamp
    held_reasons: _containers.RepeatedScalarFieldContainer[str]
    slow_packs: _containers.RepeatedCompositeFieldContainer[SlowPack]
    issuers_unreadable: _containers.RepeatedScalarFieldContainer[str]
    pushed_by: str
    held_pushed_by: str
    def __init__(self, ready: _Optional[bool] = ..., policy_revision: _Optional[str] = ..., loaded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., confirmed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., engine_mode: _Optional[_Union[EngineMode, str]] = ..., engine_version: _Optional[str] = ..., engine_restarts: _Optional[int] = ..., tenants: _Optional[_Iterable[str]] = ..., reloads_accepted: _Optional[int] = ..., reloads_refused: _Optional[int] = ..., last_error: _Optional[str] = ..., last_error_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., serving: _Optional[bool] = ..., not_serving_reasons: _Optional[_Iterable[str]] = ..., refused_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unseen_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decides_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stale: _Optional[bool] = ..., git_commit: _Optional[str] = ..., store_error: _Optional[str] = ..., data_dir_free_bytes: _Optional[int] = ..., held_revision: _Optional[str] = ..., held_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held_reasons: _Optional[_Iterable[str]] = ..., slow_packs: _Optional[_Iterable[_Union[SlowPack, _Mapping]]] = ..., issuers_unreadable: _Optional[_Iterable[str]] = ..., pushed_by: _Optional[str] = ..., held_pushed_by: _Optional[str] = ...) -> None: ...

class SlowPack(_message.Message):
    __slots__ = ("pack", "tool", "tenant", "milliseconds", "ended", "input_bytes")
    PACK_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    INPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    pack: str
    tool: str
    tenant: str
    milliseconds: float
    ended: bool
    input_bytes: int
    def __init__(self, pack: _Optional[str] = ..., tool: _Optional[str] = ..., tenant: _Optional[str] = ..., milliseconds: _Optional[float] = ..., ended: _Optional[bool] = ..., input_bytes: _Optional[int] = ...) -> None: ...

class ConfirmPolicyRequest(_message.Message):
    __slots__ = ("policy_revision", "actor", "reason")
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    policy_revision: str
    actor: _person_pb2.Person
    reason: str
    def __init__(self, policy_revision: _Optional[str] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ConfirmPolicyResponse(_message.Message):
    __slots__ = ("activated", "policy_revision", "last_error", "pending_request")
    ACTIVATED_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    PENDING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    activated: bool
    policy_revision: str
    last_error: str
    pending_request: ControlRequest
    def __init__(self, activated: _Optional[bool] = ..., policy_revision: _Optional[str] = ..., last_error: _Optional[str] = ..., pending_request: _Optional[_Union[ControlRequest, _Mapping]] = ...) -> None: ...

class ListAgentsRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class Agent(_message.Message):
    __slots__ = ("id", "state", "owner", "purpose", "runtimes", "expires_at", "autonomy", "last_used_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    AUTONOMY_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: AgentState
    owner: str
    purpose: str
    runtimes: _containers.RepeatedScalarFieldContainer[str]
    expires_at: _timestamp_pb2.Timestamp
    autonomy: _decision_pb2.Autonomy
    last_used_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[AgentState, str]] = ..., owner: _Optional[str] = ..., purpose: _Optional[str] = ..., runtimes: _Optional[_Iterable[str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., autonomy: _Optional[_Union[_decision_pb2.Autonomy, str]] = ..., last_used_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListAgentsResponse(_message.Message):
    __slots__ = ("agents", "strict", "unlisted")
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    UNLISTED_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[Agent]
    strict: bool
    unlisted: int
    def __init__(self, agents: _Optional[_Iterable[_Union[Agent, _Mapping]]] = ..., strict: _Optional[bool] = ..., unlisted: _Optional[int] = ...) -> None: ...

class GetPermitKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPermitKeysResponse(_message.Message):
    __slots__ = ("jwks_json",)
    JWKS_JSON_FIELD_NUMBER: _ClassVar[int]
    jwks_json: str
    def __init__(self, jwks_json: _Optional[str] = ...) -> None: ...

class KillScope(_message.Message):
    __slots__ = ("whole_tenant", "tool", "agent", "workflow", "run_id", "tenant")
    GLOBAL_FIELD_NUMBER: _ClassVar[int]
    WHOLE_TENANT_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    whole_tenant: bool
    tool: str
    agent: str
    workflow: str
    run_id: str
    tenant: str
    def __init__(self, whole_tenant: _Optional[bool] = ..., tool: _Optional[str] = ..., agent: _Optional[str] = ..., workflow: _Optional[str] = ..., run_id: _Optional[str] = ..., tenant: _Optional[str] = ..., **kwargs) -> None: ...

class KillSwitch(_message.Message):
    __slots__ = ("id", "scope", "reason", "actor", "set_at", "expires_at", "clearing")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CLEARING_FIELD_NUMBER: _ClassVar[int]
    id: str
    scope: KillScope
    reason: str
    actor: str
    set_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    clearing: ControlRequest
    def __init__(self, id: _Optional[str] = ..., scope: _Optional[_Union[KillScope, _Mapping]] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., clearing: _Optional[_Union[ControlRequest, _Mapping]] = ...) -> None: ...

class ControlRequest(_message.Message):
    __slots__ = ("id", "requested_by", "reason", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    requested_by: str
    reason: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., requested_by: _Optional[str] = ..., reason: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetKillSwitchRequest(_message.Message):
    __slots__ = ("scope", "actor", "reason", "expires_after_seconds", "strict")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    scope: KillScope
    actor: _person_pb2.Person
    reason: str
    expires_after_seconds: int
    strict: bool
    def __init__(self, scope: _Optional[_Union[KillScope, _Mapping]] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ..., expires_after_seconds: _Optional[int] = ..., strict: _Optional[bool] = ...) -> None: ...

class SetKillSwitchResponse(_message.Message):
    __slots__ = ("kill_switch", "revoked", "not_revoked", "revocation_incomplete", "warnings")
    KILL_SWITCH_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    NOT_REVOKED_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    kill_switch: KillSwitch
    revoked: _containers.RepeatedCompositeFieldContainer[RevokedPermit]
    not_revoked: _containers.RepeatedCompositeFieldContainer[RevokedPermit]
    revocation_incomplete: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kill_switch: _Optional[_Union[KillSwitch, _Mapping]] = ..., revoked: _Optional[_Iterable[_Union[RevokedPermit, _Mapping]]] = ..., not_revoked: _Optional[_Iterable[_Union[RevokedPermit, _Mapping]]] = ..., revocation_incomplete: _Optional[bool] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class RevokedPermit(_message.Message):
    __slots__ = ("tenant", "decision_id", "tool", "agent", "run_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    decision_id: str
    tool: str
    agent: str
    run_id: str
    def __init__(self, tenant: _Optional[str] = ..., decision_id: _Optional[str] = ..., tool: _Optional[str] = ..., agent: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class ClearKillSwitchRequest(_message.Message):
    __slots__ = ("kill_switch_id", "tenant", "actor", "reason")
    KILL_SWITCH_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    kill_switch_id: str
    tenant: str
    actor: _person_pb2.Person
    reason: str
    def __init__(self, kill_switch_id: _Optional[str] = ..., tenant: _Optional[str] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ClearKillSwitchResponse(_message.Message):
    __slots__ = ("cleared", "waiting", "pending_request")
    CLEARED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    PENDING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    cleared: bool
    waiting: ControlRequest
    pending_request: ControlRequest
    def __init__(self, cleared: _Optional[bool] = ..., waiting: _Optional[_Union[ControlRequest, _Mapping]] = ..., pending_request: _Optional[_Union[ControlRequest, _Mapping]] = ...) -> None: ...

class ListKillSwitchesRequest(_message.Message):
    __slots__ = ("tenant", "every_tenant")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EVERY_TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    every_tenant: bool
    def __init__(self, tenant: _Optional[str] = ..., every_tenant: _Optional[bool] = ...) -> None: ...

class ListKillSwitchesResponse(_message.Message):
    __slots__ = ("kill_switches",)
    KILL_SWITCHES_FIELD_NUMBER: _ClassVar[int]
    kill_switches: _containers.RepeatedCompositeFieldContainer[KillSwitch]
    def __init__(self, kill_switches: _Optional[_Iterable[_Union[KillSwitch, _Mapping]]] = ...) -> None: ...

class AutonomyRule(_message.Message):
    __slots__ = ("workflow", "tool", "agent", "level", "actor", "reason", "set_at")
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    workflow: str
    tool: str
    agent: str
    level: _decision_pb2.Autonomy
    actor: str
    reason: str
    set_at: _timestamp_pb2.Timestamp
    def __init__(self, workflow: _Optional[str] = ..., tool: _Optional[str] = ..., agent: _Optional[str] = ..., level: _Optional[_Union[_decision_pb2.Autonomy, str]] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetAutonomyRequest(_message.Message):
    __slots__ = ("tenant", "workflow", "tool", "agent", "level", "actor", "reason", "strict")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    workflow: str
    tool: str
    agent: str
    level: _decision_pb2.Autonomy
    actor: _person_pb2.Person
    reason: str
    strict: bool
    def __init__(self, tenant: _Optional[str] = ..., workflow: _Optional[str] = ..., tool: _Optional[str] = ..., agent: _Optional[str] = ..., level: _Optional[_Union[_decision_pb2.Autonomy, str]] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ..., strict: _Optional[bool] = ...) -> None: ...

class SetAutonomyResponse(_message.Message):
    __slots__ = ("applied", "rule", "waiting", "warnings", "pending_request")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PENDING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    applied: bool
    rule: AutonomyRule
    waiting: ControlRequest
    warnings: _containers.RepeatedScalarFieldContainer[str]
    pending_request: ControlRequest
    def __init__(self, applied: _Optional[bool] = ..., rule: _Optional[_Union[AutonomyRule, _Mapping]] = ..., waiting: _Optional[_Union[ControlRequest, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., pending_request: _Optional[_Union[ControlRequest, _Mapping]] = ...) -> None: ...

class ListAutonomyRulesRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ListAutonomyRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[AutonomyRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[AutonomyRule, _Mapping]]] = ...) -> None: ...

class ListAutonomyRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ListAutonomyResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[AutonomyRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[AutonomyRule, _Mapping]]] = ...) -> None: ...

class ListBudgetsRequest(_message.Message):
    __slots__ = ("tenant", "budget_id", "top")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    budget_id: str
    top: int
    def __init__(self, tenant: _Optional[str] = ..., budget_id: _Optional[str] = ..., top: _Optional[int] = ...) -> None: ...

class ListBudgetsResponse(_message.Message):
    __slots__ = ("budgets",)
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[Budget]
    def __init__(self, budgets: _Optional[_Iterable[_Union[Budget, _Mapping]]] = ...) -> None: ...

class GetBudgetsRequest(_message.Message):
    __slots__ = ("tenant", "budget_id", "top")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    budget_id: str
    top: int
    def __init__(self, tenant: _Optional[str] = ..., budget_id: _Optional[str] = ..., top: _Optional[int] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("id", "unit", "scope", "window", "timezone", "limit", "on_exceed", "counters", "current", "currency", "budget_scope", "budget_window", "exceed_action")
    ID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ON_EXCEED_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    BUDGET_SCOPE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_WINDOW_FIELD_NUMBER: _ClassVar[int]
    EXCEED_ACTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    unit: str
    scope: str
    window: str
    timezone: str
    limit: int
    on_exceed: str
    counters: _containers.RepeatedCompositeFieldContainer[BudgetCounter]
    current: bool
    currency: str
    budget_scope: BudgetScope
    budget_window: BudgetWindow
    exceed_action: BudgetExceedAction
    def __init__(self, id: _Optional[str] = ..., unit: _Optional[str] = ..., scope: _Optional[str] = ..., window: _Optional[str] = ..., timezone: _Optional[str] = ..., limit: _Optional[int] = ..., on_exceed: _Optional[str] = ..., counters: _Optional[_Iterable[_Union[BudgetCounter, _Mapping]]] = ..., current: _Optional[bool] = ..., currency: _Optional[str] = ..., budget_scope: _Optional[_Union[BudgetScope, str]] = ..., budget_window: _Optional[_Union[BudgetWindow, str]] = ..., exceed_action: _Optional[_Union[BudgetExceedAction, str]] = ...) -> None: ...

class BudgetCounter(_message.Message):
    __slots__ = ("scope_key", "window_key", "used", "reserved", "remaining", "resets_at", "unit", "given_back", "kept")
    SCOPE_KEY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_KEY_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    GIVEN_BACK_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    scope_key: str
    window_key: str
    used: int
    reserved: int
    remaining: int
    resets_at: _timestamp_pb2.Timestamp
    unit: str
    given_back: int
    kept: int
    def __init__(self, scope_key: _Optional[str] = ..., window_key: _Optional[str] = ..., used: _Optional[int] = ..., reserved: _Optional[int] = ..., remaining: _Optional[int] = ..., resets_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unit: _Optional[str] = ..., given_back: _Optional[int] = ..., kept: _Optional[int] = ...) -> None: ...

class GetBudgetsResponse(_message.Message):
    __slots__ = ("budgets",)
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[Budget]
    def __init__(self, budgets: _Optional[_Iterable[_Union[Budget, _Mapping]]] = ...) -> None: ...

class AdjustBudgetRequest(_message.Message):
    __slots__ = ("tenant", "budget_id", "scope_key", "amount", "actor", "reason", "strict")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    budget_id: str
    scope_key: str
    amount: int
    actor: _person_pb2.Person
    reason: str
    strict: bool
    def __init__(self, tenant: _Optional[str] = ..., budget_id: _Optional[str] = ..., scope_key: _Optional[str] = ..., amount: _Optional[int] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ..., strict: _Optional[bool] = ...) -> None: ...

class AdjustBudgetResponse(_message.Message):
    __slots__ = ("applied", "counter", "waiting", "warnings", "pending_request")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PENDING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    applied: bool
    counter: BudgetCounter
    waiting: ControlRequest
    warnings: _containers.RepeatedScalarFieldContainer[str]
    pending_request: ControlRequest
    def __init__(self, applied: _Optional[bool] = ..., counter: _Optional[_Union[BudgetCounter, _Mapping]] = ..., waiting: _Optional[_Union[ControlRequest, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., pending_request: _Optional[_Union[ControlRequest, _Mapping]] = ...) -> None: ...

class OutcomeExcess(_message.Message):
    __slots__ = ("tenant", "decision_id", "caller", "agent", "user", "run_id", "tool", "reported_at", "parts")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    decision_id: str
    caller: str
    agent: str
    user: str
    run_id: str
    tool: str
    reported_at: _timestamp_pb2.Timestamp
    parts: _containers.RepeatedCompositeFieldContainer[OutcomeExcessPart]
    def __init__(self, tenant: _Optional[str] = ..., decision_id: _Optional[str] = ..., caller: _Optional[str] = ..., agent: _Optional[str] = ..., user: _Optional[str] = ..., run_id: _Optional[str] = ..., tool: _Optional[str] = ..., reported_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[OutcomeExcessPart, _Mapping]]] = ...) -> None: ...

class OutcomeExcessPart(_message.Message):
    __slots__ = ("budget_id", "unit", "window_key", "scope_key", "amount")
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_KEY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    budget_id: str
    unit: str
    window_key: str
    scope_key: str
    amount: int
    def __init__(self, budget_id: _Optional[str] = ..., unit: _Optional[str] = ..., window_key: _Optional[str] = ..., scope_key: _Optional[str] = ..., amount: _Optional[int] = ...) -> None: ...

class ListOutcomeExcessesRequest(_message.Message):
    __slots__ = ("tenant", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOutcomeExcessesResponse(_message.Message):
    __slots__ = ("excesses", "next_page_token")
    EXCESSES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    excesses: _containers.RepeatedCompositeFieldContainer[OutcomeExcess]
    next_page_token: str
    def __init__(self, excesses: _Optional[_Iterable[_Union[OutcomeExcess, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DecideOutcomeExcessRequest(_message.Message):
    __slots__ = ("tenant", "decision_id", "verdict", "actor", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    decision_id: str
    verdict: ExcessVerdict
    actor: _person_pb2.Person
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., decision_id: _Optional[str] = ..., verdict: _Optional[_Union[ExcessVerdict, str]] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class DecideOutcomeExcessResponse(_message.Message):
    __slots__ = ("excess",)
    EXCESS_FIELD_NUMBER: _ClassVar[int]
    excess: OutcomeExcess
    def __init__(self, excess: _Optional[_Union[OutcomeExcess, _Mapping]] = ...) -> None: ...
