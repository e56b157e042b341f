"""Permits: verify offline that Placet allowed exactly the tool call that is about to run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from placet.sdk._permits.keys import KeySource, PermitKeys, PermitKeySet
from placet.sdk._permits.optional import require_extra
from placet.sdk._permits.replay import Replay, ReplayCache
from placet.sdk.errors import PermitError, PermitReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.sdk.types import Action, Identity

__all__ = [
    "KeySource",
    "Permit",
    "PermitKeySet",
    "PermitKeys",
    "Replay",
    "ReplayCache",
    "ReservedBudget",
    "verify_permit",
]

PERMIT_ISSUER: Final = "placet"
LEEWAY_SECONDS: Final = 5.0
"""Accepted difference between the clocks of server and executor."""
LEEWAY_SECONDS_MAX: Final = 60.0
"""Lifetime of a permit. A larger leeway would make its expiry meaningless."""
USED_HERE: Final = ReplayCache()
"""Permits that were used in this process."""
_Claim = TypeVar("_Claim", str, int, bool, list[Any])


@dataclass(frozen=True, slots=True)
class ReservedBudget:
    """Amount of one budget that the decision reserved."""

    id: str
    reserved: int
    """The amount, in `unit`."""
    unit: str
    """``calls``, ``tokens``, ``cost`` (micros) or ``amount:USD`` (minor units)."""


@dataclass(frozen=True, slots=True)
class Permit:
    """A verified permit. Times are in UTC."""

    decision_id: str
    """The decision that allowed the action."""
    action_digest: str
    """SHA-256 of the action, the identity and the run id, in hex."""
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
    """Id of the key that signed the permit."""


def verify_permit(
    permit: str,
    action: Action,
    keys: KeySource,
    *,
    identity: Identity,
    run_id: str = "",
    replay: Replay | None = USED_HERE,
    now: float | None = None,
    leeway_seconds: float = LEEWAY_SECONDS,
) -> Permit:
    """Verify that a permit allows a tool call now, for the first time. Needs the extra ``placet-sdk[permits]``.

    ::

        permit = verify_permit(token, Action("stripe.refund", params), keys, identity=identity)
        ...  # run the tool call with exactly these parameters

    Args:
        permit: The token, `Decision.permit`.
        action: The tool call that is about to run, with the same values as in the call of `Client.authorize`.
        keys: The server's public keys: a `PermitKeySet` or `PermitKeys`.
        identity: The identity that was passed to `Client.authorize`.
        run_id: The run_id that was passed to `Client.authorize`.
        replay: Remembers used permits. By default, in this process. None accepts a permit again until it expires.
        now: Current time in seconds since the epoch. None reads the clock.
        leeway_seconds: Accepted difference between the clocks of server and executor, 0 to 60 seconds.

    Returns:
        The permit. It was valid, and it is now recorded as used.

    Raises:
        PermitError: If the call must not run. `reason` is the stable id of the cause.
        ImportError: If the extra ``permits`` is not installed.
        ValueError: If `leeway_seconds` is out of range.
    """
    if not 0 <= leeway_seconds <= LEEWAY_SECONDS_MAX:
        raise ValueError(f"leeway_seconds must be 0 to {LEEWAY_SECONDS_MAX:g}, not {leeway_seconds!r}")
    with require_extra():
        from placet.sdk._permits.digest import action_digest  # noqa: PLC0415 - needs packages of the extra
        from placet.sdk._permits.token import verify_token  # noqa: PLC0415 - likewise
    verified = _permit_from_claims(*verify_token(permit, keys.find))
    current_time = time.time() if now is None else now
    _check_time(verified, current_time, leeway_seconds)
    digest = action_digest(action, identity, run_id)
    _check_subject(verified, action, identity, run_id)
    _check_digest(verified, digest)
    if replay is not None:
        _check_first_use(verified, replay, current_time, leeway_seconds)
    return verified


def _check_time(permit: Permit, now: float, leeway: float) -> None:
    """Raise PermitError if the permit is not valid now. The comparisons are negated so that NaN is not valid."""
    if not now < permit.expires_at.timestamp() + leeway:
        raise PermitError(PermitReason.EXPIRED, f"it expired at {permit.expires_at.isoformat()}")
    if not permit.issued_at.timestamp() <= now + leeway:
        raise PermitError(PermitReason.NOT_YET_VALID, f"it is valid from {permit.issued_at.isoformat()}")


def _check_digest(permit: Permit, digest: str) -> None:
    if permit.action_digest != digest:
        raise PermitError(
            PermitReason.WRONG_DIGEST, "it allows a call with other parameters, amount, destination or identity"
        )


def _check_first_use(permit: Permit, replay: Replay, now: float, leeway: float) -> None:
    """Raise PermitError if the permit was used before. Otherwise it counts as used until it is no longer accepted."""
    if not replay.first_use(permit.decision_id, permit.expires_at.timestamp() + leeway, now):
        raise PermitError(PermitReason.REPLAYED, f"the permit of {permit.decision_id} was used before")


def _check_subject(permit: Permit, action: Action, identity: Identity, run_id: str) -> None:
    for reason, permitted, actual in (
        (PermitReason.WRONG_TENANT, permit.tenant, identity.tenant),
        (PermitReason.WRONG_TOOL, permit.tool, action.tool),
        (PermitReason.WRONG_AGENT, permit.agent, identity.agent),
        (PermitReason.WRONG_RUN, permit.run_id, run_id),
    ):
        if permitted != actual:
            raise PermitError(reason, f"it is for {permitted!r}, not {actual!r}")


def _permit_from_claims(key_id: str, claims: Mapping[str, Any]) -> Permit:
    """Return the permit. Raises PermitError if a claim is missing or has the wrong type."""
    if _claim(claims, "iss", str) != PERMIT_ISSUER:
        raise PermitError(PermitReason.WRONG_ISSUER, f"it was issued by {claims['iss']!r}, not {PERMIT_ISSUER}")
    tenant = _claim(claims, "tenant", str)
    if _claim(claims, "aud", str) != tenant:
        raise PermitError(PermitReason.WRONG_TENANT, f"its audience is {claims['aud']!r}, its tenant {tenant!r}")
    return Permit(
        decision_id=_claim(claims, "jti", str),
        action_digest=_claim(claims, "action_digest", str),
        tool=_claim(claims, "tool", str),
        tenant=tenant,
        agent=_claim(claims, "agent", str),
        run_id=_claim(claims, "run_id", str),
        policy_revision=_claim(claims, "policy_revision", str),
        dry_run=_claim(claims, "dry_run", bool),
        budgets=tuple(map(_reserved_budget, _claim(claims, "budgets", list))),
        issued_at=_time(claims, "iat"),
        expires_at=_time(claims, "exp"),
        key_id=key_id,
    )


def _reserved_budget(value: Any) -> ReservedBudget:  # noqa: ANN401 - any JSON value
    budget = value if isinstance(value, dict) else {}
    return ReservedBudget(_claim(budget, "id", str), _claim(budget, "reserved", int), _claim(budget, "unit", str))


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromtimestamp(_claim(claims, name, int), UTC)
    except (ValueError, OverflowError, OSError):
        raise PermitError(PermitReason.MALFORMED, f"its claim {name} is not a time") from None


def _claim(claims: Mapping[str, Any], name: str, kind: type[_Claim]) -> _Claim:
    value = claims.get(name)
    if value is None:
        raise PermitError(PermitReason.MISSING_CLAIM, f"it has no claim {name}")
    if type(value) is not kind:
        raise PermitError(PermitReason.MALFORMED, f"its claim {name} has the wrong type")
    return value
