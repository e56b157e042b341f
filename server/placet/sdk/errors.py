"""Every error that the SDK raises.

PlacetSdkError
├── NotAllowedError            `Decision.require_allowed`: there is a decision, and it is no allow
│   ├── DeniedError
│   └── ApprovalRequiredError
├── PermitError                `verify_permit`: the call must not run; its `reason` says why
├── WebhookError               `verify_webhook`: it is not to be believed; its `reason` says why
└── CallFailedError            there is no decision (``on_failure="raise"``), or an audit or control call failed
    └── InvalidRequestError    the request itself is wrong; names the fields
        ├── WrongTypeError     a mistake in the program, also a TypeError; raised whatever ``on_failure`` says
        └── InvalidParamsError params that are no JSON as Placet takes it, also a ValueError; raised likewise
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from placet.sdk import failures

if TYPE_CHECKING:
    from placet.sdk.failures import Failure


class PlacetSdkError(Exception):
    """Root of all errors of the SDK."""


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


class PermitError(PlacetSdkError):
    """The permit does not allow the call that is about to run. `reason` never changes meaning; `message` may."""

    def __init__(self, reason: PermitReason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class WebhookReason(StrEnum):
    """Why a webhook is refused. A reason never changes meaning."""

    HEADER_MISSING = "header_missing"
    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"
    TOO_OLD = "too_old"
    NOT_YET_VALID = "not_yet_valid"


class WebhookError(PlacetSdkError):
    """The webhook is not to be believed. `reason` never changes meaning; `message` may."""

    def __init__(self, reason: WebhookReason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class CallFailedError(PlacetSdkError):
    """The call gave no answer. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(f"{failure.rule_id}: {failure}")


class InvalidRequestError(CallFailedError):
    """The request is not one that Placet accepts. `failure.violations` names the fields."""


class WrongTypeError(InvalidRequestError, TypeError):
    """A value has another type than its field. A mistake in the program, so it never becomes a deny."""


class InvalidParamsError(InvalidRequestError, ValueError):
    """Params hold a value that JSON, or Placet, cannot hold exactly. It never becomes a deny either."""


def error_from_failure(failure: Failure) -> CallFailedError:
    """The error to raise for a failure."""
    invalid = failure.rule_id == failures.INVALID_ARGUMENT
    return InvalidRequestError(failure) if invalid else CallFailedError(failure)
