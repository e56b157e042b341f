"""Issues permits: signs an allow if the caller or the tenant's file asks for it.

A signature takes longer than most other parts of a decision. It holds the interpreter's lock, so a thread would not
free the event loop: callers sign a batch in steps (`placet.kernel.steps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from placet.kernel.model import Effect
from placet.kernel.policy_files import files_of
from placet.permits.claims import permit_claims

if TYPE_CHECKING:
    from placet.kernel.model import Decision, Proposal
    from placet.kernel.policy_files import CurrentFiles
    from placet.permits.claims import PermitKeys


class PermitSetting(Protocol):
    """The part of a tenant's file that says when permits are signed."""

    @property
    def permits_always(self) -> bool:
        """Whether each allow carries a permit, also if the caller did not ask for it."""
        ...


@dataclass(frozen=True, slots=True)
class PermitIssuer:
    """Signs the permits of a server's decisions."""

    keys: PermitKeys
    files: CurrentFiles[PermitSetting]

    def require_keys(self, tenant: str, *, requested: bool) -> None:
        """Raise PermitKeysUnavailableError when an allow of the tenant would need a permit that cannot be signed now.

        Call it before the decision: then nothing is reserved for an action that cannot start.
        """
        if requested or self._always(tenant):
            self.keys.require_usable()

    def permit(self, decision: Decision, proposal: Proposal, *, requested: bool) -> str:
        """Return the permit of an allow; "" for other decisions, and if it was not asked for.

        `requested` says whether the caller asked for the permit. The same decision has the same permit, so a repeated
        answer may carry it although the first one did not.
        """
        if decision.effect is not Effect.ALLOW or not (requested or self._always(proposal.identity.tenant)):
            return ""
        return self.keys.sign(permit_claims(decision, proposal), decision.decided_at_us)

    def _always(self, tenant: str) -> bool:
        file = files_of(self.files).get(tenant)
        return file is not None and file.permits_always
