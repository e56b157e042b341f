"""What is known of a served revision from its bundle, and not from the OPA that evaluates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.policy.rego.rule_locations import RuleLocations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.policy.bundles.bundle import Bundle
    from placet.tenants.policy import TenantPolicy


class BundleRevision:
    """A revision whose bundle this process has. `confirmed_at` is when its source was last seen, in monotonic seconds.

    Subclasses evaluate inputs.
    """

    def __init__(self, bundle: Bundle, confirmed_at: float) -> None:
        self.bundle = bundle
        self.confirmed_at = confirmed_at
        self._places = RuleLocations(bundle.tree.modules if bundle.tree is not None else {})

    @property
    def revision(self) -> str:
        """The digest of the policy's content."""
        return self.bundle.revision

    @property
    def agent_policies(self) -> Mapping[str, TenantPolicy]:
        """The agent_policy of each tenant."""
        return self.bundle.agent_policies

    def where(self, rule_id: str) -> str:
        """Return ``file:line`` of the rule with this id; "" when it is unknown."""
        return self._places.location_of(rule_id)
