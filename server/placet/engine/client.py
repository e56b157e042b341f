"""Ask one OPA: the inputs of a batch in one query, or in as few as their bytes allow; one by one when a query fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.engine.answer import NO_PLACES, AnswerError, read_answer
from placet.engine.http import Address, AnswerTooLargeError, Connection, ConnectionFailedError
from placet.kernel import rule_ids
from placet.kernel.limits import OPA_QUERY_BYTES_MAX
from placet.kernel.model import Indeterminate
from placet.kernel.portions import portions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.kernel.model import Verdict
    from placet.policy.checks.rule_places import RulePlaces

QUERY: Final = "/v1/data/placet/main/decisions?provenance=true&strict-builtin-errors=true"
SINGLES_BUDGET: Final = 4
"""How many time-outs all the single questions after a failed batch may take together."""


class OpaClient:
    """Asks the OPA at `address`; `expected_revision` "" takes any.

    `on_failure` is told rule_id and cause of each failed query, for log and metric; `places` are those of its rules, so
    that what fails can be found.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout_seconds: float,
        expected_revision: str,
        on_failure: Callable[[str, str], None],
        places: RulePlaces = NO_PLACES,
    ) -> None:
        self.address = address
        self._timeout = timeout_seconds
        self.expected_revision = expected_revision
        self._on_failure = on_failure
        self._places = places
        self._idle: list[Connection] = []

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """One verdict for each input, in order. What OPA does wrong is a Indeterminate.

        One query holds at most OPA_QUERY_BYTES_MAX of inputs, or one input that is larger.
        """
        verdicts: list[Verdict | Indeterminate] = []
        for some in portions(inputs, len, count_max=len(inputs), bytes_max=OPA_QUERY_BYTES_MAX):
            verdicts += await self._together(some)
        return verdicts

    def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop().close()

    async def _together(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """The verdicts of one query."""
        try:
            return await self._query(inputs, self._timeout)
        except AnswerError as error:
            self._on_failure(error.rule_id, error.cause)
            repeat = len(inputs) > 1 and error.rule_id not in {rule_ids.ENGINE_TIMEOUT, rule_ids.ENGINE_UNAVAILABLE}
            if not repeat:
                return [error.no_verdict()] * len(inputs)
        return await self._one_by_one(inputs)

    async def _one_by_one(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """One bad input must not deny its neighbours."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SINGLES_BUDGET * self._timeout
        verdicts: list[Verdict | Indeterminate] = []
        for each in inputs:
            try:
                verdicts += await self._query([each], min(self._timeout, until - loop.time()))
            except AnswerError as error:
                verdicts.append(error.no_verdict())
        return verdicts

    async def _query(self, inputs: Sequence[bytes], timeout_seconds: float) -> list[Verdict | Indeterminate]:
        body = b'{"input":{"batch":[%b]}}' % b",".join(inputs)
        try:
            async with asyncio.timeout(timeout_seconds):
                status, answer = await self._ask(body)
        except TimeoutError as error:
            raise AnswerError(rule_ids.ENGINE_TIMEOUT, f"no answer in {timeout_seconds:.3f} s") from error
        except (OSError, ConnectionFailedError) as error:
            raise AnswerError(rule_ids.ENGINE_UNAVAILABLE, str(error)) from error
        except AnswerTooLargeError as error:
            raise AnswerError(rule_ids.ANSWER_INVALID, str(error)) from error
        verdicts = read_answer(status, answer, len(inputs), self.expected_revision, self._places)
        for verdict in verdicts:
            if isinstance(verdict, Indeterminate):
                self._on_failure(verdict.rule_id, verdict.cause)
        return verdicts

    async def _ask(self, body: bytes) -> tuple[int, bytes]:
        """Ask over an idle connection, or once more over a new one when that had gone stale."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                try:
                    return await self._ask_over(connection, body)
                except ConnectionFailedError:
                    break
        return await self._ask_over(await Connection.open(self.address), body)

    async def _ask_over(self, connection: Connection, body: bytes) -> tuple[int, bytes]:
        answer = await connection.ask("POST", QUERY, body)
        self._idle.append(connection)
        return answer
