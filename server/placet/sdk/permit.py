"""A permit that was verified, and why one is refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class PermitReason(StrEnum):
    """Why a permit is refused. A reason never changes meaning."""

    MALFORMED = "malformed"
    WRONG_ALGORITHM = "wrong_algorithm"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    KEYS_UNAVAILABLE = "keys_unavailable"
    BAD_SIGNATURE = "bad_signature"
    MISSING_CLAIM = "missing_claim"
    WRONG_ISSUER = "wrong_issuer"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_TENANT = "wrong_tenant"
    WRONG_TOOL = "wrong_tool"
    WRONG_AGENT = "wrong_agent"
    WRONG_RUN = "wrong_run"
    ACTION_INVALID = "action_invalid"
    WRONG_DIGEST = "wrong_digest"
    REPLAYED = "replayed"
    REPLAY_CACHE_FULL = "replay_cache_full"


@dataclass(frozen=True, slots=True)
class ReservedBudget:
    """What the decision holds of one budget, in `unit`: ``calls``, ``tokens``, ``cost`` (micros) or ``amount:USD``."""

    id: str
    reserved: int
    unit: str


@dataclass(frozen=True, slots=True)
class Permit:
    """What a permit says: this decision allowed this action, until `expires_at`."""

    decision_id: str
    action_digest: str
    tool: str
    tenant: str
    agent: str
    run_id: str
    policy_revision: str
    dry_run: bool
    budgets: tuple[ReservedBudget, ...]
    issued_at: datetime
    expires_at: datetime
    key_id: str
