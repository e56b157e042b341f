"""The gRPC methods that the SDK calls."""

from __future__ import annotations

from typing import Final

APPROVE_ACTION: Final = "/placet.v1.ApprovalService/ApproveAction"
CANCEL_APPROVAL: Final = "/placet.v1.ApprovalService/CancelApproval"
GET_APPROVAL: Final = "/placet.v1.ApprovalService/GetApproval"
LIST_APPROVALS: Final = "/placet.v1.ApprovalService/ListApprovals"
REJECT_ACTION: Final = "/placet.v1.ApprovalService/RejectAction"
VOID_VOTES: Final = "/placet.v1.ApprovalService/VoidVotes"
WATCH_APPROVALS: Final = "/placet.v1.ApprovalService/WatchApprovals"
GET_DECISION: Final = "/placet.v1.AuditService/GetDecision"
QUERY_DECISIONS: Final = "/placet.v1.AuditService/QueryDecisions"
VERIFY_AUDIT: Final = "/placet.v1.AuditService/VerifyAudit"
AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"
AUTHORIZE_BATCH: Final = "/placet.v1.AuthorizationService/AuthorizeBatch"
REPORT_OUTCOME: Final = "/placet.v1.AuthorizationService/ReportOutcome"
WATCH_DECISION: Final = "/placet.v1.AuthorizationService/WatchDecision"
ADJUST_BUDGET: Final = "/placet.v1.ControlService/AdjustBudget"
CLEAR_KILL_SWITCH: Final = "/placet.v1.ControlService/ClearKillSwitch"
CONFIRM_POLICY: Final = "/placet.v1.ControlService/ConfirmPolicy"
DECIDE_OUTCOME_EXCESS: Final = "/placet.v1.ControlService/DecideOutcomeExcess"
GET_BUDGETS: Final = "/placet.v1.ControlService/GetBudgets"  # deprecated name, for an older server
GET_PERMIT_KEYS: Final = "/placet.v1.ControlService/GetPermitKeys"
GET_POLICY_STATUS: Final = "/placet.v1.ControlService/GetPolicyStatus"
LIST_AGENTS: Final = "/placet.v1.ControlService/ListAgents"
LIST_AUTONOMY: Final = "/placet.v1.ControlService/ListAutonomy"  # deprecated name, for an older server
LIST_AUTONOMY_RULES: Final = "/placet.v1.ControlService/ListAutonomyRules"
LIST_BUDGETS: Final = "/placet.v1.ControlService/ListBudgets"
LIST_KILL_SWITCHES: Final = "/placet.v1.ControlService/ListKillSwitches"
LIST_OUTCOME_EXCESSES: Final = "/placet.v1.ControlService/ListOutcomeExcesses"
SET_AUTONOMY: Final = "/placet.v1.ControlService/SetAutonomy"
SET_KILL_SWITCH: Final = "/placet.v1.ControlService/SetKillSwitch"
LIST_KEYS: Final = "/placet.v1.KeyService/ListKeys"
ROTATE_KEY: Final = "/placet.v1.KeyService/RotateKey"
CREATE_TOKEN: Final = "/placet.v1.TokenService/CreateToken"  # noqa: S105 - not a secret
LIST_TOKENS: Final = "/placet.v1.TokenService/ListTokens"
REVOKE_TOKEN: Final = "/placet.v1.TokenService/RevokeToken"  # noqa: S105 - not a secret
