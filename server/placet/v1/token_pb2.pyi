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

class CallerRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALLER_ROLE_UNSPECIFIED: _ClassVar[CallerRole]
    CALLER_ROLE_AGENT_RUNTIME: _ClassVar[CallerRole]
    CALLER_ROLE_TOOL_EXECUTOR: _ClassVar[CallerRole]
    CALLER_ROLE_APPROVER: _ClassVar[CallerRole]
    CALLER_ROLE_OPERATOR: _ClassVar[CallerRole]
    CALLER_ROLE_AUDITOR: _ClassVar[CallerRole]
    CALLER_ROLE_POLICY_AUTHOR: _ClassVar[CallerRole]
    CALLER_ROLE_ADMIN: _ClassVar[CallerRole]

class UserAssertion(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_ASSERTION_UNSPECIFIED: _ClassVar[UserAssertion]
    USER_ASSERTION_TRUSTED: _ClassVar[UserAssertion]
    USER_ASSERTION_TOKEN: _ClassVar[UserAssertion]
    USER_ASSERTION_NEVER: _ClassVar[UserAssertion]
CALLER_ROLE_UNSPECIFIED: CallerRole
CALLER_ROLE_AGENT_RUNTIME: CallerRole
CALLER_ROLE_TOOL_EXECUTOR: CallerRole
CALLER_ROLE_APPROVER: CallerRole
CALLER_ROLE_OPERATOR: CallerRole
CALLER_ROLE_AUDITOR: CallerRole
CALLER_ROLE_POLICY_AUTHOR: CallerRole
CALLER_ROLE_ADMIN: CallerRole
USER_ASSERTION_UNSPECIFIED: UserAssertion
USER_ASSERTION_TRUSTED: UserAssertion
USER_ASSERTION_TOKEN: UserAssertion
USER_ASSERTION_NEVER: UserAssertion

class TokenGrant(_message.Message):
    __slots__ = ("role", "tenants", "agents", "user")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    role: CallerRole
    tenants: _containers.RepeatedScalarFieldContainer[str]
    agents: _containers.RepeatedScalarFieldContainer[str]
    user: UserAssertion
    def __init__(self, role: _Optional[_Union[CallerRole, str]] = ..., tenants: _Optional[_Iterable[str]] = ..., agents: _Optional[_Iterable[str]] = ..., user: _Optional[_Union[UserAssertion, str]] = ...) -> None: ...

class AccessToken(_message.Message):
    __slots__ = ("id", "name", "person", "grants", "created_by", "created_at", "expires_at", "last_used_at", "expired")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    person: _person_pb2.Person
    grants: _containers.RepeatedCompositeFieldContainer[TokenGrant]
    created_by: str
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    last_used_at: _timestamp_pb2.Timestamp
    expired: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., person: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., grants: _Optional[_Iterable[_Union[TokenGrant, _Mapping]]] = ..., created_by: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_used_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expired: _Optional[bool] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    __slots__ = ("name", "grants", "person", "expires_after_seconds", "actor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    grants: _containers.RepeatedCompositeFieldContainer[TokenGrant]
    person: _person_pb2.Person
    expires_after_seconds: int
    actor: _person_pb2.Person
    def __init__(self, name: _Optional[str] = ..., grants: _Optional[_Iterable[_Union[TokenGrant, _Mapping]]] = ..., person: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., expires_after_seconds: _Optional[int] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token", "secret")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    token: AccessToken
    secret: str
    def __init__(self, token: _Optional[_Union[AccessToken, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[AccessToken]
    def __init__(self, tokens: _Optional[_Iterable[_Union[AccessToken, _Mapping]]] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    __slots__ = ("token_id", "tenant", "actor", "reason", "text_sha256")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TEXT_SHA256_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    tenant: str
    actor: _person_pb2.Person
    reason: str
    text_sha256: str
    def __init__(self, token_id: _Optional[str] = ..., tenant: _Optional[str] = ..., actor: _Optional[_Union[_person_pb2.Person, _Mapping]] = ..., reason: _Optional[str] = ..., text_sha256: _Optional[str] = ...) -> None: ...

class RevokeTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: AccessToken
    def __init__(self, token: _Optional[_Union[AccessToken, _Mapping]] = ...) -> None: ...
