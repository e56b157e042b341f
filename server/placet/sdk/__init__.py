"""The SDK: ask Placet for a decision before each tool call. Needs grpcio, protobuf and googleapis-common-protos only.

- `Client`: agents ask for decisions, wait for approvals and report outcomes.
- `ApprovalClient`: people approve or reject.
- `ControlClient`: operators set kill switches, levels of autonomy and budgets.
- `AuditClient`: auditors read and verify the audit trail.
- `TokenClient`: admins create and revoke access tokens.
- `KeyClient`: operators rotate the keys that sign permits.
- `AsyncClient`, `AsyncApprovalClient` and so on: the same for asyncio.
- `verify_permit`: executors verify that a call was allowed. Needs the extra ``placet-sdk[permits]``.
- `verify_webhook`: receivers verify a webhook.

Import every name from ``placet.sdk``. Modules with a leading underscore are private.
"""

import warnings
from typing import TYPE_CHECKING

from placet.sdk._transport.tls import tls_credentials
from placet.sdk.agents import Agent, AgentList, AgentState
from placet.sdk.aio import (
    AsyncApprovalClient,
    AsyncAuditClient,
    AsyncClient,
    AsyncControlClient,
    AsyncKeyClient,
    AsyncTokenClient,
)
from placet.sdk.approvals import (
    Approval,
    ApprovalChange,
    ApprovalPage,
    ApprovalState,
    DecisionChange,
    DecisionState,
    Person,
    VoidedVotes,
    Vote,
)
from placet.sdk.audit import AuditProblem, Page, Query, RecordedDecision, VerifyReport
from placet.sdk.client import ApprovalClient, AuditClient, Client, ControlClient, KeyClient, TokenClient
from placet.sdk.controls import (
    AutonomyRule,
    AutonomySet,
    Budget,
    BudgetAdjusted,
    BudgetCounter,
    ControlRequest,
    KillScope,
    KillSwitch,
    KillSwitchSet,
    PolicyConfirmed,
    PolicyStatus,
    RevokedPermit,
    SlowPack,
)
from placet.sdk.decision import (
    ApprovalRequiredError,
    ApprovalRequirement,
    Autonomy,
    BudgetState,
    Decision,
    DeniedError,
    Effect,
    Finding,
    NotAllowedError,
    Obligation,
)
from placet.sdk.errors import (
    CallFailedError,
    InvalidParamsError,
    InvalidRequestError,
    PermitError,
    PermitReason,
    PlacetSdkError,
    WebhookError,
    WebhookReason,
    WrongTypeError,
)
from placet.sdk.failures import Failure, FieldViolation
from placet.sdk.keys import Key, KeyState
from placet.sdk.outcomes import ExcessPart, OutcomeExcess, OutcomeReceipt, OutcomeStatus
from placet.sdk.permits import (
    KeySource,
    Permit,
    PermitKeys,
    PermitKeySet,
    Replay,
    ReplayCache,
    ReservedBudget,
    verify_permit,
)
from placet.sdk.tokens import AccessToken, CallerRole, CreatedToken, TokenGrant, UserAssertion
from placet.sdk.types import Action, Amount, DelegationHop, Evidence, Identity, Model, Request, Run
from placet.sdk.webhooks import WebhookEvent, verify_webhook

__all__ = [
    "AccessToken",
    "Action",
    "Agent",
    "AgentList",
    "AgentState",
    "Amount",
    "Approval",
    "ApprovalChange",
    "ApprovalClient",
    "ApprovalPage",
    "ApprovalRequiredError",
    "ApprovalRequirement",
    "ApprovalState",
    "AsyncApprovalClient",
    "AsyncAuditClient",
    "AsyncClient",
    "AsyncControlClient",
    "AsyncKeyClient",
    "AsyncTokenClient",
    "AuditClient",
    "AuditProblem",
    "Autonomy",
    "AutonomyRule",
    "AutonomySet",
    "Budget",
    "BudgetAdjusted",
    "BudgetCounter",
    "BudgetState",
    "CallFailedError",
    "CallerRole",
    "Client",
    "ControlClient",
    "ControlRequest",
    "CreatedToken",
    "Decision",
    "DecisionChange",
    "DecisionState",
    "DelegationHop",
    "DeniedError",
    "Effect",
    "Evidence",
    "ExcessPart",
    "Failure",
    "FieldViolation",
    "Finding",
    "Identity",
    "InvalidParamsError",
    "InvalidRequestError",
    "Key",
    "KeyClient",
    "KeySource",
    "KeyState",
    "KillScope",
    "KillSwitch",
    "KillSwitchSet",
    "Model",
    "NotAllowedError",
    "Obligation",
    "OutcomeExcess",
    "OutcomeReceipt",
    "OutcomeStatus",
    "Page",
    "Permit",
    "PermitError",
    "PermitKeySet",
    "PermitKeys",
    "PermitReason",
    "Person",
    "PlacetSdkError",
    "PolicyConfirmed",
    "PolicyStatus",
    "Query",
    "RecordedDecision",
    "Replay",
    "ReplayCache",
    "Request",
    "ReservedBudget",
    "RevokedPermit",
    "Run",
    "SlowPack",
    "TokenClient",
    "TokenGrant",
    "UserAssertion",
    "VerifyReport",
    "VoidedVotes",
    "Vote",
    "WebhookError",
    "WebhookEvent",
    "WebhookReason",
    "WrongTypeError",
    "tls_credentials",
    "verify_permit",
    "verify_webhook",
]

if not TYPE_CHECKING:  # a type checker that saw this function would accept every name

    def __getattr__(name: str) -> object:
        """Return a class by its deprecated name."""
        renamed = {"RequestedApproval": Approval, "BudgetStatus": Budget}
        if name not in renamed:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        current = renamed[name]
        warnings.warn(
            f"placet.sdk.{name} is deprecated: use placet.sdk.{current.__name__}", DeprecationWarning, stacklevel=2
        )
        return current
