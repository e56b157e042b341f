"""Errors of the SDK.

PlacetSdkError
├── NotAllowedError             `Decision.require_allowed`: the decision is not an allow
│   ├── DeniedError
│   └── ApprovalRequiredError
├── PermitError                 `verify_permit`: the call must not run; `reason` says why
├── WebhookError                `verify_webhook`: the webhook is not authentic; `reason` says why
└── CallFailedError             a call failed; `failure` says why
    └── InvalidRequestError     the request is invalid; `failure.violations` names the fields
        ├── WrongTypeError      a value has the wrong type; also a TypeError
        └── InvalidParamsError  params have a value that JSON cannot hold exactly; also a ValueError
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from placet.sdk import failures

if TYPE_CHECKING:
    from placet.sdk.failures import Failure


class PlacetSdkError(Exception):
    """Base class of all errors of the SDK."""


class PermitReason(StrEnum):
    """Why a permit does not allow a call. A reason never changes its meaning."""

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
    """The permit does not allow the call that is about to run. `reason` is stable; the text of `message` can change."""

    def __init__(self, reason: PermitReason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class WebhookReason(StrEnum):
    """Why a webhook is rejected. A reason never changes its meaning."""

    HEADER_MISSING = "header_missing"
    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"
    TOO_OLD = "too_old"
    NOT_YET_VALID = "not_yet_valid"


class WebhookError(PlacetSdkError):
    """The webhook is not authentic. `reason` is stable; the text of `message` can change."""

    def __init__(self, reason: WebhookReason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class CallFailedError(PlacetSdkError):
    """A call to the server failed. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(f"{failure.rule_id}: {failure}")


class InvalidRequestError(CallFailedError):
    """The request is invalid. `failure.violations` names the fields."""


class WrongTypeError(InvalidRequestError, TypeError):
    """A value has another type than its field. An error in the program, which never becomes a deny."""


class InvalidParamsError(InvalidRequestError, ValueError):
    """Params have a value that JSON cannot hold exactly. An error in the program, which never becomes a deny."""


def error_from_failure(failure: Failure) -> CallFailedError:
    """Return the error to raise for a failure."""
    is_invalid = failure.rule_id == failures.INVALID_ARGUMENT
    return InvalidRequestError(failure) if is_invalid else CallFailedError(failure)
