"""Whether a permit allows exactly the call that is about to run. Works offline."""

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
"""How far the clocks of server and executor may differ."""
LEEWAY_SECONDS_MAX: Final = 60.0
"""More than a permit's life would be no limit."""
USED_HERE: Final = ReplayCache()
"""Permits that were used in this process."""
_Kind = TypeVar("_Kind", str, int, bool, list[Any])


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
    """The permit, when it allows exactly this action, for this identity, in this run, now, for the first time.

    ::

        permit = verify_permit(token, Action("stripe.refund", params), keys, identity=identity)
        ...  # run the call, with exactly these parameters

    `action`, `identity` and `run_id` are what is about to run, told as they were to `Client.authorize`. `replay` None
    does not look whether the permit was used before. `now` is seconds of the epoch, by default the clock's.
    Raises PermitError, whose `reason` says why it must not run; ImportError when the extra ``permits`` is missing;
    ValueError when `leeway_seconds` is not 0 to 60.
    """
    if not 0 <= leeway_seconds <= LEEWAY_SECONDS_MAX:
        raise ValueError(f"leeway_seconds must be 0 to {LEEWAY_SECONDS_MAX:g}, not {leeway_seconds!r}")
    with require_extra():
        from placet.sdk._permits.digest import action_digest  # noqa: PLC0415 - only who verifies needs the extra
        from placet.sdk._permits.token import verify_token  # noqa: PLC0415 - likewise
    said = _permit(*verify_token(permit, keys.find))
    moment = time.time() if now is None else now
    _check_time(said, moment, leeway_seconds)
    digest = action_digest(action, identity, run_id)
    _check_whose(said, action, identity, run_id)
    if said.action_digest != digest:
        raise PermitError(PermitReason.WRONG_DIGEST, "it is for other parameters, another amount, place or identity")
    until = said.expires_at.timestamp() + leeway_seconds
    if replay is not None and not replay.first_use(said.decision_id, until, moment):
        raise PermitError(PermitReason.REPLAYED, f"the permit of {said.decision_id} was used before")
    return said


def _check_time(said: Permit, now: float, leeway: float) -> None:
    """Asked so that a time which is no number is refused."""
    if not now < said.expires_at.timestamp() + leeway:
        raise PermitError(PermitReason.EXPIRED, f"it was valid until {said.expires_at.isoformat()}")
    if not said.issued_at.timestamp() <= now + leeway:
        raise PermitError(PermitReason.NOT_YET_VALID, f"it is valid from {said.issued_at.isoformat()}")


def _check_whose(said: Permit, action: Action, identity: Identity, run_id: str) -> None:
    for reason, theirs, ours in (
        (PermitReason.WRONG_TENANT, said.tenant, identity.tenant),
        (PermitReason.WRONG_TOOL, said.tool, action.tool),
        (PermitReason.WRONG_AGENT, said.agent, identity.agent),
        (PermitReason.WRONG_RUN, said.run_id, run_id),
    ):
        if theirs != ours:
            raise PermitError(reason, f"it is for {theirs!r}, not {ours!r}")


def _permit(key_id: str, claims: Mapping[str, Any]) -> Permit:
    """The claims, each of its kind. PermitError."""
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
        budgets=tuple(_budget(each) for each in _claim(claims, "budgets", list)),
        issued_at=_time(claims, "iat"),
        expires_at=_time(claims, "exp"),
        key_id=key_id,
    )


def _budget(said: Any) -> ReservedBudget:  # noqa: ANN401 - any JSON value
    held = said if isinstance(said, dict) else {}
    return ReservedBudget(_claim(held, "id", str), _claim(held, "reserved", int), _claim(held, "unit", str))


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromtimestamp(_claim(claims, name, int), UTC)
    except (ValueError, OverflowError, OSError):
        raise PermitError(PermitReason.MALFORMED, f"its claim {name} is no time") from None


def _claim(claims: Mapping[str, Any], name: str, kind: type[_Kind]) -> _Kind:
    value = claims.get(name)
    if value is None:
        raise PermitError(PermitReason.MISSING_CLAIM, f"it has no claim {name}")
    if type(value) is not kind:
        raise PermitError(PermitReason.MALFORMED, f"its claim {name} is of another kind")
    return value
