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
    """It is not a token, or a claim has the wrong type."""
    WRONG_ALGORITHM = "wrong_algorithm"
    """Its algorithm is not EdDSA."""
    WRONG_TYPE = "wrong_type"
    """It is another kind of token."""
    UNKNOWN_KEY = "unknown_key"
    """No key has its key id."""
    KEYS_UNAVAILABLE = "keys_unavailable"
    """Its key is unknown, and the keys could not be fetched."""
    BAD_SIGNATURE = "bad_signature"
    """Its signature is not valid."""
    MISSING_CLAIM = "missing_claim"
    """A claim is missing."""
    WRONG_ISSUER = "wrong_issuer"
    """Another system issued it."""
    EXPIRED = "expired"
    """It has expired."""
    NOT_YET_VALID = "not_yet_valid"
    """It is not valid yet: the clocks differ too much."""
    WRONG_TENANT = "wrong_tenant"
    """It is for another tenant."""
    WRONG_TOOL = "wrong_tool"
    """It is for another tool."""
    WRONG_AGENT = "wrong_agent"
    """It is for another agent."""
    WRONG_RUN = "wrong_run"
    """It is for another run."""
    ACTION_INVALID = "action_invalid"
    """No server accepts the action that is about to run."""
    WRONG_DIGEST = "wrong_digest"
    """The action or the identity differs in another field, such as params or amount."""
    REPLAYED = "replayed"
    """It was used before."""
    REPLAY_CACHE_FULL = "replay_cache_full"
    """Too many used permits have not expired, so that this one cannot be recorded as used."""


class PermitError(PlacetSdkError):
    """The permit does not allow the call that is about to run. `reason` is stable; the text of `message` can change."""

    def __init__(self, reason: PermitReason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class WebhookReason(StrEnum):
    """Why a webhook is rejected. A reason never changes its meaning."""

    HEADER_MISSING = "header_missing"
    """A header of the signature is missing."""
    MALFORMED = "malformed"
    """The webhook is not in the format of Placet."""
    BAD_SIGNATURE = "bad_signature"
    """No signature is by the secret."""
    TOO_OLD = "too_old"
    """It was sent too long ago."""
    NOT_YET_VALID = "not_yet_valid"
    """It was sent in the future: the clocks differ too much."""


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
