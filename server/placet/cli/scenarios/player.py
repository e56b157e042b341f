"""Plays a script step by step, and compares each answer with what the script expects."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from placet import sdk
from placet.cli.scenarios.api import RefusedError, Report, Selector
from placet.cli.scenarios.comparison import differences
from placet.cli.scenarios.control_steps import AdjustBudget, Advance, Clear, Kill, SetAutonomy
from placet.cli.scenarios.grpc_api import GrpcApi
from placet.cli.scenarios.step_base import REFUSED
from placet.cli.scenarios.steps import Approve, Call, Cancel, Outcome, Reject, Step, Verify

if TYPE_CHECKING:
    from placet.cli.scenarios.api import Answer, Api
    from placet.cli.scenarios.script import Script

ACTOR: Final = "placet demo"
SECOND_ACTOR: Final = "placet demo, second person"
"""People who set and clear kill switches."""
WHY: Final = "a script is replayed"
KILL_SECONDS: Final = 300
"""Lifetime of a kill switch, should the process be killed before it clears the switch."""
_NEW_BYTES: Final = 4
Result: TypeAlias = tuple[str, str, str]
"""The word, the id of why or empty, and a sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """Result of one step. `why` is a rule id, the reason of a refusal, a field name, or empty."""

    step: Step
    effect: str
    why: str
    reason: str
    latency_ms: float
    differences: tuple[str, ...] = ()
    """What is not as the step's other keys expect, one sentence each."""

    @property
    def as_expected(self) -> bool:
        """Whether it is what the script expects."""
        return (self.effect, self.why) == self.step.expected and not self.differences


async def replay_script(script: Script, address: str) -> list[Row]:
    """Play the script against a running server."""
    async with GrpcApi(address) as api:
        return await play(script, api)


async def play(script: Script, api: Api) -> list[Row]:
    """Take each step in turn. Clears every kill switch that it set, also when it is cancelled.

    UnsupportedStepError when the API cannot take one of the steps.
    """
    async with _Player(script, api) as player:
        return [await player.row(index, step) for index, step in enumerate(script.steps)]


class _Player:
    """Keeps what steps leave for later ones."""

    def __init__(self, script: Script, api: Api) -> None:
        self._script = script
        self._api = api
        self._tenant = script.identity.tenant
        self._new = secrets.token_hex(_NEW_BYTES)
        self._answers: dict[str, Answer] = {}
        self._differences: tuple[str, ...] = ()
        self._keys: sdk.PermitKeySet | None = None
        self._used_permits = sdk.ReplayCache()
        self._setting: list[asyncio.Future[tuple[str, int]]] = []
        self._switches: dict[str, str] = {}

    async def row(self, index: int, step: Step) -> Row:
        """Take one step. A refusal is its answer."""
        started = time.perf_counter()
        self._differences = ()
        try:
            result = await self._take(index, step)
        except RefusedError as error:
            result = REFUSED, error.why, str(error)
        except sdk.PermitError as error:
            result = REFUSED, error.reason.value, error.message
        return Row(step, *result, (time.perf_counter() - started) * 1_000, self._differences)

    async def _take(self, index: int, step: Step) -> Result:
        match step:
            case Call():
                return await self._authorize(index, step)
            case Approve() | Reject() | Cancel():
                return await self._vote(step)
            case Outcome():
                return await self._report(step)
            case Verify():
                return await self._verify(index, step)
            case _:
                return await self._control(step)

    async def _control(self, step: Kill | Clear | SetAutonomy | AdjustBudget | Advance) -> Result:
        match step:
            case Kill():
                return await self._kill(step)
            case Clear():
                return await self._clear(step)
            case SetAutonomy():
                return await self._set_autonomy(step)
            case AdjustBudget():
                budget, by = step.adjust_budget, step.by
                done = await self._api.adjust_budget(self._tenant, budget, step.scope_key, step.amount, by, WHY)
                return ("adjusted" if done else "waiting"), "", f"{budget} by {step.amount}"
            case Advance():
                await self._api.advance(step.advance)
                return "advanced", "", f"{step.advance} seconds"

    async def _authorize(self, index: int, step: Call) -> Result:
        """Ask as often as the step says: the answers must be equal. The last one is shown."""
        if step.now is not None:
            await self._api.set_time(step.now)
        presented = self._answers[step.approval_of].approval if step.approval_of else None
        results: list[tuple[str, str]] = []
        for _ in range(step.times):
            request = self._script.request(step, index, self._new, presented.id if presented else "")
            [answer] = await self._api.authorize([request])
            results.append((answer.effect, answer.rule_id))
            if results[-1] != results[0]:
                break
        if step.id:
            self._answers[step.id] = answer
        recorded = await self._api.recorded(answer) if step.audit else {}
        self._differences = differences(step, answer, recorded)
        if step.same_as and answer.decision_id != self._answers[step.same_as].decision_id:
            self._differences += (f"same_as: expected the decision of {step.same_as}, got another",)
        return answer.effect, answer.rule_id, answer.reason

    async def _vote(self, step: Approve | Reject | Cancel) -> Result:
        """The last person's answer, or the first one that is refused."""
        answer = self._answers[step.about]
        for each in step.by:
            person = sdk.Person(each.id, each.roles)
            status = await self._api.vote(step.VERB, answer, person, step.reason)
        votes = ", ".join(f"{person} as {role or 'any person'}" for person, role in status.votes)
        return status.state, "", f"{votes}; {status.quorum} needed"

    async def _report(self, step: Outcome) -> Result:
        used = Report(step.status.value, step.tokens, step.cost_micros, step.amount_minor_units)
        receipt = await self._api.report(self._answers[step.outcome], used)
        if step.exceeded is not None and step.exceeded != receipt.exceeded:
            self._differences = (f"exceeded: expected {list(step.exceeded)}, got {list(receipt.exceeded)}",)
        return "reported", "", f"{step.status}{', late' if receipt.late else ''}"

    async def _verify(self, index: int, step: Verify) -> Result:
        """Verify a permit, with keys that are fetched once: from then on the server is not asked."""
        if self._keys is None:
            self._keys = await self._api.permit_keys()
        runs = self._script.request(step, index, self._new)
        permit = sdk.verify_permit(
            self._answers[step.verify].permit,
            runs.action,
            self._keys,
            identity=runs.identity,
            run_id=runs.run.run_id if runs.run else "",
            replay=self._used_permits,
        )
        return "verified", "", f"signed by {permit.key_id}, for this action alone, until {permit.expires_at:%H:%M:%S}"

    async def _kill(self, step: Kill) -> Result:
        """Set a kill switch. Completes also when this is cancelled: the clean-up must see the switch."""
        (scope, value), tenant = step.kill.scope, self._tenant
        switches = await self._api.kill_switches(tenant)
        if any((each.scope, each.value, each.tenant) == (scope.value, value, tenant) for each in switches):
            return REFUSED, "", "this kill switch is set already; clear it with `placet kill-switches clear`"
        seconds = step.seconds or KILL_SECONDS
        setting = asyncio.ensure_future(self._api.set_kill_switch(scope, value, tenant, ACTOR, WHY, seconds))
        self._setting.append(setting)
        switch_id, revoked = await asyncio.shield(setting)
        self._switches[step.id] = switch_id
        return "set", "", f"{scope} {value} in {tenant}; {revoked} permits revoked"

    async def _set_autonomy(self, step: SetAutonomy) -> Result:
        selector = Selector(step.workflow, step.tool, step.agent)
        level = "" if step.set_autonomy == "file" else step.set_autonomy
        done = await self._api.set_autonomy(self._tenant, level, selector, step.by, WHY)
        return ("set" if done else "waiting"), "", step.set_autonomy

    async def _clear(self, step: Clear) -> Result:
        switch = self._switches.get(step.clear, "")
        await self._clear_switch(switch)
        return "cleared", "", f"{switch} in {self._tenant}"

    async def _clear_all(self) -> None:
        """Clear all switches of the player, also those of an earlier run that was killed."""
        for each in await self._api.kill_switches(self._tenant):
            if each.actor == ACTOR and each.tenant == self._tenant:
                await self._clear_switch(each.id)

    async def _clear_switch(self, switch: str) -> None:
        """Clear it as one person, and as a second one where it takes two."""
        for actor in (ACTOR, SECOND_ACTOR):
            if await self._api.clear_kill_switch(switch, self._tenant, actor, WHY):
                return

    async def __aenter__(self) -> Self:
        await self._clear_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._setting, return_exceptions=True)
        await self._clear_all()
