from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Action(_message.Message):
    __slots__ = ("tool", "params_json", "params_struct", "amount", "scope", "environment", "destination", "dry_run", "tool_schema_version")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    PARAMS_JSON_FIELD_NUMBER: _ClassVar[int]
    PARAMS_STRUCT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    TOOL_SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    tool: str
    params_json: str
    params_struct: _struct_pb2.Struct
    amount: Money
    scope: str
    environment: str
    destination: str
    dry_run: bool
    tool_schema_version: str
    def __init__(self, tool: _Optional[str] = ..., params_json: _Optional[str] = ..., params_struct: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., scope: _Optional[str] = ..., environment: _Optional[str] = ..., destination: _Optional[str] = ..., dry_run: _Optional[bool] = ..., tool_schema_version: _Optional[str] = ...) -> None: ...

class Money(_message.Message):
    __slots__ = ("currency_code", "minor_units", "exponent")
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    EXPONENT_FIELD_NUMBER: _ClassVar[int]
    currency_code: str
    minor_units: int
    exponent: int
    def __init__(self, currency_code: _Optional[str] = ..., minor_units: _Optional[int] = ..., exponent: _Optional[int] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("agent", "user", "roles", "tenant", "delegation", "user_token", "delegation_chain")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_FIELD_NUMBER: _ClassVar[int]
    USER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_CHAIN_FIELD_NUMBER: _ClassVar[int]
    agent: str
    user: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    tenant: str
    delegation: _containers.RepeatedScalarFieldContainer[str]
    user_token: str
    delegation_chain: _containers.RepeatedCompositeFieldContainer[DelegationHop]
    def __init__(self, agent: _Optional[str] = ..., user: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., tenant: _Optional[str] = ..., delegation: _Optional[_Iterable[str]] = ..., user_token: _Optional[str] = ..., delegation_chain: _Optional[_Iterable[_Union[DelegationHop, _Mapping]]] = ...) -> None: ...

class DelegationHop(_message.Message):
    __slots__ = ("principal", "scopes", "token", "proven_by")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROVEN_BY_FIELD_NUMBER: _ClassVar[int]
    principal: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    token: str
    proven_by: str
    def __init__(self, principal: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., token: _Optional[str] = ..., proven_by: _Optional[str] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "trace_id", "step", "workflow", "planner")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    PLANNER_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    trace_id: str
    step: int
    workflow: str
    planner: str
    def __init__(self, run_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., step: _Optional[int] = ..., workflow: _Optional[str] = ..., planner: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "prompt_version", "input_tokens", "output_tokens", "estimated_cost_micros")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    name: str
    prompt_version: str
    input_tokens: int
    output_tokens: int
    estimated_cost_micros: int
    def __init__(self, name: _Optional[str] = ..., prompt_version: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., estimated_cost_micros: _Optional[int] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("uri", "sha256")
    URI_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    uri: str
    sha256: str
    def __init__(self, uri: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...
