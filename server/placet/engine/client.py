"""Query one OPA.

A batch of inputs goes in one query, or in as few as the size limit allows. When a query fails, its inputs are asked one
by one.
"""

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
    from placet.policy.rego.rule_locations import RuleLocations

QUERY: Final = "/v1/data/placet/main/decisions?provenance=true&strict-builtin-errors=true"
SINGLES_BUDGET: Final = 4
"""Time limit of all single queries after a failed batch, in multiples of the query time limit."""


class OpaClient:
    """A client of the OPA at `address`."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_seconds: float,
        expected_revision: str,
        on_failure: Callable[[str, str], None],
        places: RuleLocations = NO_PLACES,
    ) -> None:
        """Make a client. It connects when it is used.

        `expected_revision` is the only revision that is accepted; "" accepts any. `on_failure(rule_id, cause)` receives
        each failed query. `places` maps the rules to file and line, for the details of errors.
        """
        self.address = address
        self._timeout = timeout_seconds
        self.expected_revision = expected_revision
        self._on_failure = on_failure
        self._places = places
        self._idle: list[Connection] = []

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order; Indeterminate for an input that OPA failed to answer.

        One query holds at most OPA_QUERY_BYTES_MAX of inputs, or a single larger input.
        """
        verdicts: list[Verdict | Indeterminate] = []
        for portion in portions(inputs, len, count_max=len(inputs), bytes_max=OPA_QUERY_BYTES_MAX):
            verdicts += await self._query_batch(portion)
        return verdicts

    def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop().close()

    async def _query_batch(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Ask all inputs in one query, and one by one when that fails."""
        try:
            return await self._query(inputs, self._timeout)
        except AnswerError as error:
            self._on_failure(error.rule_id, error.cause)
            repeat = len(inputs) > 1 and error.rule_id not in {rule_ids.ENGINE_TIMEOUT, rule_ids.ENGINE_UNAVAILABLE}
            if not repeat:
                return [error.indeterminate()] * len(inputs)
        return await self._query_singly(inputs)

    async def _query_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Ask each input separately, so that one bad input denies no other."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SINGLES_BUDGET * self._timeout
        verdicts: list[Verdict | Indeterminate] = []
        for single in inputs:
            try:
                verdicts += await self._query([single], min(self._timeout, deadline - loop.time()))
            except AnswerError as error:
                verdicts.append(error.indeterminate())
        return verdicts

    async def _query(self, inputs: Sequence[bytes], timeout_seconds: float) -> list[Verdict | Indeterminate]:
        body = b'{"input":{"batch":[%b]}}' % b",".join(inputs)
        try:
            async with asyncio.timeout(timeout_seconds):
                status, answer = await self._post(body)
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

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        """Post over an idle connection. When that is stale, retry once over a new connection."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                try:
                    return await self._post_over(connection, body)
                except ConnectionFailedError:
                    break
        return await self._post_over(await Connection.open(self.address), body)

    async def _post_over(self, connection: Connection, body: bytes) -> tuple[int, bytes]:
        answer = await connection.request("POST", QUERY, body)
        self._idle.append(connection)
        return answer
