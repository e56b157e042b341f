"""A script, replayed against a running server: what each step was told."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from placet import sdk
from placet.cli.scenarios.steps import REFUSED, Approve, Call, Clear, Kill, Outcome, Reject, Step, Verify
from placet.sdk import failures

if TYPE_CHECKING:
    from placet.cli.scenarios.script import Script

ACTOR: Final = "placet demo"
SECOND_ACTOR: Final = "placet demo, second person"
"""Who sets and clears kill switches."""
WHY: Final = "a script is replayed"
KILL_SECONDS: Final = 300
"""A kill switch ends by itself then, should the process be killed before it clears what it set."""
_NEW_BYTES: Final = 4
Told: TypeAlias = tuple[str, str, str]
"""What a step came to: the word, the id of why or empty, and a sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one step was told. `why` is the id of a rule, of why it was refused, a field that is named, or empty."""

    step: Step
    effect: str
    why: str
    reason: str
    latency_ms: float

    @property
    def as_expected(self) -> bool:
        """Whether it is what the script says."""
        return (self.effect, self.why) == self.step.expected


async def replay_script(script: Script, address: str) -> list[Row]:
    """Take each step in turn. No kill switch that it set stands when it returns or is cancelled."""
    async with _Replay(script, address) as replay:
        return [await replay.row(index, step) for index, step in enumerate(script.steps)]


class _Replay:
    """What steps leave for later ones."""

    def __init__(self, script: Script, address: str) -> None:
        self._script = script
        self._new = secrets.token_hex(_NEW_BYTES)
        self._client = sdk.AsyncClient(address)
        self._approvals = sdk.ApprovalClient(address)
        self._control = sdk.ControlClient(address)
        self._decisions: dict[str, sdk.Decision] = {}
        self._keys: sdk.PermitKeySet | None = None
        self._used_permits = sdk.ReplayCache()
        self._setting: list[asyncio.Future[sdk.KillSwitchSet]] = []
        self._switches: dict[str, str] = {}

    async def row(self, index: int, step: Step) -> Row:
        """Take one step. Whatever refuses it is its answer."""
        started = time.perf_counter()
        try:
            told = await self._take(index, step)
        except sdk.CallFailedError as error:
            told = _refused(error.failure)
        except sdk.PermitError as error:
            told = REFUSED, error.reason.value, error.message
        return Row(step, *told, (time.perf_counter() - started) * 1_000)

    async def _take(self, index: int, step: Step) -> Told:
        match step:
            case Call():
                return await self._ask(index, step)
            case Approve() | Reject():
                return await self._vote(step)
            case Outcome():
                return await self._report(step)
            case Verify():
                return await self._verify(index, step)
            case Kill():
                return await self._kill(step)
            case Clear():
                return await self._clear(step)

    async def _ask(self, index: int, step: Call) -> Told:
        presented = self._decisions[step.approval_of].approval if step.approval_of else None
        request = self._script.request(step, index, self._new, presented.id if presented else "")
        decision = await self._client.authorize(
            request.action,
            request.identity,
            run=request.run,
            model=request.model,
            evidence=request.evidence,
            idempotency_key=request.idempotency_key,
            approval_id=request.approval_id,
        )
        if step.id:
            self._decisions[step.id] = decision
        failure = decision.failure
        if failure is not None and failure.rule_id == failures.INVALID_ARGUMENT and failure.violations:
            return _refused(failure)
        return decision.effect.value, decision.rule_id, decision.reason

    async def _vote(self, step: Approve | Reject) -> Told:
        """The last one's answer, or the first that is refused."""
        decision = self._decisions[step.approve if isinstance(step, Approve) else step.reject]
        cast = self._approvals.approve if isinstance(step, Approve) else self._approvals.reject
        approval_id = decision.approval.id if decision.approval else ""
        for each in step.by:
            person = sdk.Person(each.id, each.roles)
            approval = await asyncio.to_thread(cast, decision.tenant, approval_id, person, reason=step.reason)
        votes = ", ".join(f"{vote.person} as {vote.role or 'any person'}" for vote in approval.votes)
        return approval.state.value, "", f"{votes}; {approval.quorum} needed"

    async def _report(self, step: Outcome) -> Told:
        receipt = await self._client.report_outcome(self._decisions[step.outcome], step.status)
        return "reported", "", f"{step.status}{', late' if receipt.late else ''}"

    async def _verify(self, index: int, step: Verify) -> Told:
        """With keys that are fetched once: from then on the server is not asked."""
        if self._keys is None:
            self._keys = sdk.PermitKeySet(await asyncio.to_thread(self._control.permit_keys))
        runs = self._script.request(step, index, self._new)
        permit = sdk.verify_permit(
            self._decisions[step.verify].permit,
            runs.action,
            self._keys,
            identity=runs.identity,
            run_id=runs.run.run_id if runs.run else "",
            replay=self._used_permits,
        )
        return "verified", "", f"signed by {permit.key_id}, for this action alone, until {permit.expires_at:%H:%M:%S}"

    async def _kill(self, step: Kill) -> Told:
        """Set to its end, also when this is cancelled: what clears at the end must see it."""
        (scope, value), tenant = step.kill.scope, self._script.identity.tenant
        standing = await asyncio.to_thread(self._control.kill_switches, tenant)
        if any((each.scope, each.value, each.tenant) == (scope, value, tenant) for each in standing):
            return REFUSED, "", "it is set already: whoever set it clears it"
        setting = asyncio.ensure_future(asyncio.to_thread(self._set, scope, value, tenant))
        self._setting.append(setting)
        done = await asyncio.shield(setting)
        self._switches[step.id] = done.kill_switch.id
        return "set", "", f"{scope} {value} in {tenant}; {len(done.revoked)} permits revoked"

    def _set(self, scope: sdk.KillScope, value: str, tenant: str) -> sdk.KillSwitchSet:
        return self._control.set_kill_switch(
            scope, value, tenant=tenant, actor=ACTOR, reason=WHY, expires_after_seconds=KILL_SECONDS
        )

    async def _clear(self, step: Clear) -> Told:
        tenant = self._script.identity.tenant
        switch = self._switches.get(step.clear, "")
        await asyncio.to_thread(self._clear_switch, switch, tenant)
        return "cleared", "", f"{switch} in {tenant}"

    def _clear_all(self) -> None:
        """Also what an earlier replay left that was killed."""
        tenant = self._script.identity.tenant
        for each in self._control.kill_switches(tenant):
            if each.actor == ACTOR and each.tenant == tenant:
                self._clear_switch(each.id, tenant)

    def _clear_switch(self, switch: str, tenant: str) -> None:
        """Clear it as one person, and as a second one where it takes two."""
        for actor in (ACTOR, SECOND_ACTOR):
            if self._control.clear_kill_switch(switch, tenant=tenant, actor=actor, reason=WHY) is None:
                return

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._clear_all)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.gather(*self._setting, return_exceptions=True)
            await asyncio.to_thread(self._clear_all)
        finally:
            self._approvals.close()
            self._control.close()
            await self._client.close()


def _refused(failure: sdk.Failure) -> Told:
    """By the server's id of why, or the first field that it names."""
    if failure.violations:
        first = failure.violations[0]
        return REFUSED, first.field, first.description
    return REFUSED, failure.error or failure.rule_id, failure.detail
