"""The SDK: ask Placet before each tool call. Needs grpcio and protobuf only.

`Client` and `AsyncClient` decide; `ApprovalClient` is for those who approve; `AuditClient` reads the trail;
`ControlClient` steers.
`verify_permit` is for whoever runs the calls; it needs the extra ``placet-sdk[permits]``.
`verify_webhook` is for whoever receives webhooks.
"""

from placet.sdk.aio import AsyncClient
from placet.sdk.approval import (
    ApprovalChange,
    ApprovalPage,
    ApprovalState,
    DecisionChange,
    DecisionState,
    Person,
    RequestedApproval,
    VoidedVotes,
    Vote,
)
from placet.sdk.approvals import ApprovalClient
from placet.sdk.audit import AuditClient, AuditProblem, Page, Query, RecordedDecision, VerifyReport
from placet.sdk.client import Client
from placet.sdk.control import ControlClient, PolicyStatus
from placet.sdk.decision import (
    Approval,
    ApprovalRequiredError,
    Autonomy,
    Budget,
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
    PlacetSdkError,
    WebhookError,
    WebhookReason,
    WrongTypeError,
)
from placet.sdk.excess import ExcessPart, OutcomeExcess
from placet.sdk.failures import Failure, FieldViolation
from placet.sdk.model import Action, Amount, Evidence, Identity, Model, Request, Run
from placet.sdk.outcome import OutcomeReceipt, OutcomeStatus
from placet.sdk.permit import Permit, PermitReason, ReservedBudget
from placet.sdk.permit_keys import PermitKeys, PermitKeySet
from placet.sdk.permits import verify_permit
from placet.sdk.replay import ReplayCache
from placet.sdk.steering import (
    AutonomyRule,
    AutonomySet,
    BudgetAdjusted,
    BudgetCounter,
    BudgetStatus,
    ControlRequest,
    KillScope,
    KillSwitch,
    KillSwitchSet,
    RevokedPermit,
)
from placet.sdk.webhook import WebhookEvent, verify_webhook

__all__ = [
    "Action",
    "Amount",
    "Approval",
    "ApprovalChange",
    "ApprovalClient",
    "ApprovalPage",
    "ApprovalRequiredError",
    "ApprovalState",
    "AsyncClient",
    "AuditClient",
    "AuditProblem",
    "Autonomy",
    "AutonomyRule",
    "AutonomySet",
    "Budget",
    "BudgetAdjusted",
    "BudgetCounter",
    "BudgetStatus",
    "CallFailedError",
    "Client",
    "ControlClient",
    "ControlRequest",
    "Decision",
    "DecisionChange",
    "DecisionState",
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
    "PolicyStatus",
    "Query",
    "RecordedDecision",
    "ReplayCache",
    "Request",
    "RequestedApproval",
    "ReservedBudget",
    "RevokedPermit",
    "Run",
    "VerifyReport",
    "VoidedVotes",
    "Vote",
    "WebhookError",
    "WebhookEvent",
    "WebhookReason",
    "WrongTypeError",
    "verify_permit",
    "verify_webhook",
]
