"""A policy whose activation needs two people: who published it is not enough, and neither is a program."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from placet.commands.execute import ControlCommands
from placet.kernel.errors import PermissionDeniedError
from placet.kernel.model import Caller
from placet.revisions.confirmations import PolicyConfirmations
from placet.revisions.memory import LedgerMemory
from placet.revisions.pushed import UNKNOWN_PUSHER, Pusher
from placet.revisions.status import EngineMode, Hold, PolicyStatus
from placet.signing.keys import generate_signing_key
from tests.support.fakes import FixedClock
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Iterable

HELD = "3f9a0c51d2e84b7a9d3e5f6071829304"
NAME = f"two_people:{HELD}"
PROGRAM = Caller("token:ci", is_program=True)


class Replica:
    """The policies of a replica that holds a revision, and the command to confirm it."""

    def __init__(self, ledger: MemoryLedger, pusher: Pusher) -> None:
        self.memory = LedgerMemory(lambda: ledger, FixedClock(), "one")
        self.looked = 0
        held = Hold(("needs two people",), NAME, pusher, needs_people=True)
        self._status = PolicyStatus(ready=True, engine_mode=EngineMode.MANAGED, revision="r1").with_held(HELD, held, 1)
        self.confirmations = PolicyConfirmations(ControlCommands(ledger, FixedClock(), self), self, self._look)

    def status(self) -> PolicyStatus:
        return self._status

    def forget(self, _tenants: Iterable[str]) -> None:
        pass

    async def _look(self) -> None:
        self.looked += 1

    async def confirm(self, actor: str, caller: Caller = Caller()) -> bool:  # noqa: B008 - a value
        """Whether it was confirmed, and does not wait for somebody else."""
        made = await self.confirmations.confirm(HELD[:8], actor, "as discussed", caller)
        return made.waiting is None

    async def refused(self, actor: str, caller: Caller = Caller()) -> str:  # noqa: B008 - likewise
        with pytest.raises(PermissionDeniedError) as error:
            await self.confirm(actor, caller)
        return error.value.reason


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(writer="one", signing_key=generate_signing_key(), clock=FixedClock())


def records(ledger: MemoryLedger) -> list[dict[str, Any]]:
    return [orjson.loads(record.body) for record in ledger.records("one")]


async def test_a_person_who_did_not_publish_it_suffices(ledger: MemoryLedger) -> None:
    replica = Replica(ledger, Pusher("token:phone", "ann@example.com"))
    assert await replica.refused("Ann@Example.com") == "PUBLISHER_MAY_NOT_CONFIRM"
    assert await replica.refused("token:ci", PROGRAM) == "PEOPLE_NEEDED"
    assert not await replica.memory.confirmed(NAME)
    assert await replica.confirm("ben@example.com", Caller("token:ben", person="ben@example.com"))
    assert await replica.memory.confirmed(NAME)
    assert replica.looked == 1
    *_, confirmed = records(ledger)
    assert (confirmed["policy_revision"], confirmed["pushed_by"]) == (HELD, "ann@example.com")


@pytest.mark.parametrize("pusher", [UNKNOWN_PUSHER, Pusher("token:ci")])
async def test_two_people_confirm_what_no_person_is_known_to_have_published(
    ledger: MemoryLedger, pusher: Pusher
) -> None:
    replica, other = Replica(ledger, pusher), Replica(ledger, pusher)
    assert await replica.refused("token:ci", PROGRAM) == "PEOPLE_NEEDED"
    assert not await replica.confirm("ann@example.com")
    assert not await replica.memory.confirmed(NAME)
    assert replica.looked == 0
    assert await other.refused("ANN@example.com") == "SECOND_PERSON_NEEDED"
    assert await other.confirm("ben@example.com")
    assert await replica.memory.confirmed(NAME)
    kinds = [record["kind"] for record in records(ledger)]
    assert kinds == ["control.refused", "control.requested", "control.refused", "policy.confirmed"]


async def test_a_confirmation_by_one_person_does_not_count_for_two(ledger: MemoryLedger) -> None:
    replica = Replica(ledger, UNKNOWN_PUSHER)
    one = Hold(("acme.yaml: lost",), "", UNKNOWN_PUSHER)
    replica._status = replace(replica._status.without_held()).with_held(HELD, one, 1)
    assert await replica.confirm("ann@example.com")
    assert await replica.memory.confirmed(HELD)
    assert not await replica.memory.confirmed(NAME)
