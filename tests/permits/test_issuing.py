"""A permit is signed for an allow that somebody wants it for, and for nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from placet.kernel.model import Effect
from placet.permits.claims import PermitKey, permit_claims
from placet.permits.issuing import PermitIssuer
from placet.tenants.policy import TenantPolicy
from tests.permits.test_permit import ALLOW, DECIDED_AT_US, PROPOSAL
from tests.support.replacing import replace

ALWAYS, ON_REQUEST = TenantPolicy(permits="always"), TenantPolicy(permits="on_request")
SIGNED = f"{permit_claims(ALLOW, PROPOSAL).decode()}@{DECIDED_AT_US}"


@dataclass
class Keys:
    """Counts its signatures, each of which is what was signed."""

    signed: int = 0

    def sign(self, claims: bytes, decided_at_us: int) -> str:
        self.signed += 1
        return f"{claims.decode()}@{decided_at_us}"

    def require_usable(self) -> None:
        assert self.known() is not None

    def known(self) -> tuple[PermitKey, ...]:
        return ()


@dataclass
class Served:
    """The served policy: one tenant's file, or none."""

    acme: TenantPolicy | None
    keys: Keys = field(default_factory=Keys)

    def current(self) -> SimpleNamespace | None:
        return None if self.acme is None else SimpleNamespace(agent_policies={"acme": self.acme})

    def permit(self, effect: Effect = Effect.ALLOW, *, requested: bool) -> str:
        return PermitIssuer(self.keys, self).permit(replace(ALLOW, effect=effect), PROPOSAL, requested=requested)


@pytest.mark.parametrize(
    ("acme", "requested", "permit"),
    [
        (ON_REQUEST, True, SIGNED),
        (ON_REQUEST, False, ""),
        (TenantPolicy(), False, ""),
        (ALWAYS, True, SIGNED),
        (ALWAYS, False, SIGNED),
        (None, True, SIGNED),
        (None, False, ""),
    ],
)
def test_an_allow_is_signed_for_the_time_of_its_decision_if_that_is_wanted(
    acme: TenantPolicy | None,
    requested: bool,  # noqa: FBT001 - a table's column
    permit: str,
) -> None:
    served = Served(acme)
    assert served.permit(requested=requested) == permit
    assert served.keys.signed == bool(permit)


@pytest.mark.parametrize("effect", [each for each in Effect if each is not Effect.ALLOW])
@pytest.mark.parametrize("acme", [ALWAYS, ON_REQUEST])
def test_nothing_else_has_a_permit(effect: Effect, acme: TenantPolicy) -> None:
    served = Served(acme)
    assert served.permit(effect, requested=True) == ""
    assert served.keys.signed == 0
