"""Revokes the permits that a kill switch covers: those of recent allows whose calls may not have started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.audit.recorded_proposal import recorded_proposal
from placet.audit.records import DecisionQuery
from placet.controls.kill_switches.model import KillScope, covers
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import (
    PAGE_SIZE_MAX,
    PERMITS_REVOKED_MAX,
    PERMITS_REVOKED_TOGETHER,
    STEP_BYTES,
)
from placet.kernel.model import Effect
from placet.kernel.policy_files import files_of
from placet.matching.globs import is_glob
from placet.permits.revocations import permit_revoked, valid_since_us
from placet.scheduling.slices import pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment, RecordedDecision
    from placet.controls.kill_switches.model import KillSwitch
    from placet.controls.kill_switches.ports import SeenTenants, ToolCatalogue
    from placet.kernel.clock import Clock
    from placet.kernel.policy_files import CurrentFiles


@dataclass(frozen=True, slots=True)
class Revoked:
    """An allow whose permit is revoked."""

    tenant: str
    decision_id: str
    tool: str
    agent: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """The permits that a kill switch covers."""

    revoked: tuple[Revoked, ...]
    failed: tuple[Revoked, ...] = ()
    """Permits whose revocation could not be recorded. They stay valid until they expire."""
    complete: bool = True
    """False when the ledger could not be read to the end, so that other permits may be valid."""


@dataclass(frozen=True, slots=True)
class Revoker:
    """Finds and revokes permits. It needs only the ledger: no policy engine, and no valid policy."""

    ledger: Ledger
    clock: Clock
    policies: CurrentFiles[ToolCatalogue]
    state: SeenTenants

    async def revoke(self, switch: KillSwitch) -> Revocation:
        """Revoke the permits that the switch covers, at most PERMITS_REVOKED_MAX, the newest of a tenant first.

        Never raises LedgerUnavailableError: the result says what could not be recorded or read.
        """
        revoked: list[Revoked] = []
        failed: list[Revoked] = []
        pending: list[Revoked] = []
        complete = True
        try:
            async for permit in self._outstanding(switch):
                pending.append(permit)
                if len(pending) == PERMITS_REVOKED_TOGETHER:
                    await self._record(switch, pending, revoked, failed)
                    pending = []
                if len(revoked) + len(failed) + len(pending) == PERMITS_REVOKED_MAX:
                    break
        except LedgerUnavailableError:
            complete = False
        await self._record(switch, pending, revoked, failed)
        return Revocation(tuple(revoked), tuple(failed), complete)

    async def _record(
        self, switch: KillSwitch, permits: list[Revoked], revoked: list[Revoked], failed: list[Revoked]
    ) -> None:
        """Record the revocation of the permits and add them to `revoked`, or to `failed` after the first failure."""
        now_us = self.clock.wall_us()
        if failed:
            failed += permits
        elif permits:
            try:
                await self.ledger.commit([_record_of(switch, permit, now_us) for permit in permits])
            except LedgerUnavailableError:
                failed += permits
            else:
                revoked += permits

    async def _outstanding(self, switch: KillSwitch) -> AsyncIterator[Revoked]:
        now_us = self.clock.wall_us()
        since_us = valid_since_us(now_us)
        for tenant in self.tenants_reached(switch):
            async for recorded in self._allowed(switch, tenant, since_us):
                proposal = recorded_proposal(recorded)
                if len(recorded.input_json) > STEP_BYTES:
                    await pause()
                if covers(switch, proposal, now_us):
                    run_id, agent = proposal.run.run_id, proposal.identity.agent
                    yield Revoked(tenant, recorded.decision.decision_id, proposal.action.tool, agent, run_id)

    async def _allowed(self, switch: KillSwitch, tenant: str, since_us: int) -> AsyncIterator[RecordedDecision]:
        tool = switch.value if switch.scope is KillScope.TOOL and not is_glob(switch.value) else ""
        run_id = switch.value if switch.scope is KillScope.RUN else ""
        token = ""
        while True:
            query = DecisionQuery(
                tenant,
                Effect.ALLOW,
                tool=tool,
                run_id=run_id,
                decided_from_us=since_us,
                page_size=PAGE_SIZE_MAX,
                page_token=token,
            )
            page = await self.ledger.query_decisions(query)
            for recorded in page.decisions:
                yield recorded
            token = page.next_page_token
            if not token:
                return

    def tenants_reached(self, switch: KillSwitch) -> Sequence[str]:
        """Return the tenants whose decisions the switch may cover: those with a file, and those seen by this server."""
        if switch.tenant:
            return [switch.tenant]
        return sorted({*files_of(self.policies), *self.state.tenants()})


def _record_of(switch: KillSwitch, permit: Revoked, now_us: int) -> Commitment:
    """Return the record that the switch revoked the permit."""
    return permit_revoked(
        permit.tenant, permit.decision_id, switch.switch_id, switch.rule_id, switch.actor, switch.reason, now_us
    )
