"""Query one OPA.

A batch of inputs goes in one query, or in as few as the size limit allows. When a query fails, its inputs are asked one
by one. When it takes too long, its connection is closed, which stops OPA's evaluation, and its inputs are asked alone,
so that only the input that takes long is left without a verdict.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Final

from placet.engine.answer import AnotherRevisionError, AnswerError, read_answer
from placet.engine.connections import Connections
from placet.engine.http import AnswerTooLargeError, ConnectionFailedError
from placet.engine.patience import Patience
from placet.engine.verdicts import NO_PLACES
from placet.kernel import rule_ids
from placet.kernel.limits import OPA_QUERY_BYTES_MAX
from placet.kernel.model import Indeterminate
from placet.kernel.portions import portions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.engine.http import Address
    from placet.kernel.model import Verdict
    from placet.policy.rego.rule_locations import RuleLocations

QUERY: Final = "/v1/data/placet/main/decisions?provenance=true&strict-builtin-errors=true"
SINGLES_BUDGET: Final = 4
"""Time limit of all single queries of one call, in multiples of the query time limit."""
PORTIONS_BUDGET: Final = 4
"""Time after which a call asks no further portion of its inputs, in multiples of the query time limit."""
ISOLATION_QUERIES: Final = 4
"""Single queries in flight after a batch took too long. Slow inputs then block few of the others."""
TOO_SLOW: Final = Indeterminate(rule_ids.ENGINE_TIMEOUT, "takes longer than a batch may wait", slow=True)


def longest_evaluation_seconds(timeout_seconds: float) -> float:
    """Return how long one call of `evaluate` or `evaluate_singly` may take, with this time limit of a query.

    The longest is a call of `evaluate` whose last portion begins at the end of its budget, fails late, and is then
    asked one by one.
    """
    return (PORTIONS_BUDGET + 1 + SINGLES_BUDGET) * timeout_seconds


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
        patience: Patience | None = None,
    ) -> None:
        """Make a client. It connects when it is used.

        `expected_revision` is the only revision that is accepted; "" accepts any. `on_failure(rule_id, cause)` receives
        each failed query. `places` maps the rules to file and line, for the details of errors. `patience` limits the
        time of a query of `evaluate`; without it, only `timeout_seconds` does, and no slow input is looked for.
        """
        self.address = address
        self._timeout = timeout_seconds
        self.expected_revision = expected_revision
        self._on_failure = on_failure
        self._on_other_revision: Callable[[str], None] | None = None
        self._places = places
        self._patience = patience or Patience(timeout_seconds, timeout_seconds)
        self.connections = Connections(address)

    def expecting(self, revision: str, places: RuleLocations, on_other_revision: Callable[[str], None]) -> OpaClient:
        """Return a client that accepts only this revision, over the same connections.

        `on_other_revision` receives the revision of each answer that has another one, instead of `on_failure`.
        """
        client = copy.copy(self)
        client.expected_revision = revision
        client._places = places  # noqa: SLF001 - its own class
        client._on_other_revision = on_other_revision  # noqa: SLF001 - likewise
        return client

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order; Indeterminate for an input that OPA failed to answer.

        One query holds at most OPA_QUERY_BYTES_MAX of inputs, or a single larger input. An input that takes longer than
        the client's patience is Indeterminate.slow: `evaluate_singly` gives it the whole time limit. So are inputs
        whose turn does not come within PORTIONS_BUDGET times the time limit.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + PORTIONS_BUDGET * self._timeout
        verdicts: list[Verdict | Indeterminate] = []
        for portion in portions(inputs, len, count_max=len(inputs), bytes_max=OPA_QUERY_BYTES_MAX):
            verdicts += await self._query_batch(portion) if loop.time() < ends else [TOO_SLOW] * len(portion)
        return verdicts

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order, each from a separate query with the whole time limit.

        Small inputs are asked first. All together have SINGLES_BUDGET times the time limit.
        """
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        verdicts = await self._query_singly([inputs[index] for index in order], self._failed)
        by_index = dict(zip(order, verdicts, strict=True))
        return [by_index[index] for index in range(len(inputs))]

    def close(self) -> None:
        """Close all connections."""
        self.connections.close()

    async def _query_batch(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Ask all inputs in one query, and one by one when that fails."""
        loop = asyncio.get_running_loop()
        limit, began = self._patience.seconds, loop.time()
        try:
            verdicts = await self._query(inputs, limit)
        except AnswerError as error:
            if error.rule_id == rule_ids.ENGINE_TIMEOUT and limit < self._timeout:
                return await self._isolate(inputs, limit)
            self._failed(error)
            if len(inputs) == 1 or not _may_concern_one_input(error):
                return [error.indeterminate()] * len(inputs)
        else:
            self._patience.learn(loop.time() - began)
            return verdicts
        return await self._query_singly(inputs, lambda _error: None)  # reported already

    async def _isolate(self, inputs: Sequence[bytes], limit: float) -> Sequence[Verdict | Indeterminate]:
        """Find the inputs that made a query take longer than `limit`, and return the verdicts of the others.

        An OPA that does not answer at all within the time limit is not slow but stuck: then no input is.
        """
        if not await self.connections.answers(self._timeout - limit):
            stuck = AnswerError(rule_ids.ENGINE_TIMEOUT, f"no answer in {self._timeout:.3f} s")
            self._on_failure(stuck.rule_id, stuck.cause)
            return [stuck.indeterminate()] * len(inputs)
        if len(inputs) == 1:
            return [TOO_SLOW]
        verdicts: list[Verdict | Indeterminate] = [TOO_SLOW] * len(inputs)
        smallest_first = iter(sorted(range(len(inputs)), key=lambda index: len(inputs[index])))
        ends = asyncio.get_running_loop().time() + self._timeout

        async def ask_next() -> None:
            for index in smallest_first:
                verdicts[index] = await self._ask_alone(inputs[index], limit, ends)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(len(inputs), ISOLATION_QUERIES)):
                tasks.create_task(ask_next())
        if TOO_SLOW not in verdicts:
            self._patience.learn(limit)  # the whole batch took long: the machine is busy
        return verdicts

    async def _ask_alone(self, single: bytes, limit: float, ends: float) -> Verdict | Indeterminate:
        """Ask one input within `limit`, at the latest until `ends`. Returns TOO_SLOW when that is not enough."""
        left = min(limit, ends - asyncio.get_running_loop().time())
        if left <= 0:
            return TOO_SLOW
        try:
            [verdict] = await self._query([single], left)
        except AnswerError as error:
            if error.rule_id == rule_ids.ENGINE_TIMEOUT:
                return TOO_SLOW
            self._failed(error)
            return error.indeterminate()
        return verdict

    async def _query_singly(
        self, inputs: Sequence[bytes], on_failure: Callable[[AnswerError], None]
    ) -> Sequence[Verdict | Indeterminate]:
        """Ask each input separately, so that one bad input denies no other."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SINGLES_BUDGET * self._timeout
        verdicts: list[Verdict | Indeterminate] = []
        for single in inputs:
            try:
                verdicts += await self._query([single], min(self._timeout, deadline - loop.time()))
            except AnswerError as error:
                on_failure(error)
                verdicts.append(error.indeterminate())
        return verdicts

    async def _query(self, inputs: Sequence[bytes], timeout_seconds: float) -> list[Verdict | Indeterminate]:
        body = b'{"input":{"batch":[%b]}}' % b",".join(inputs)
        try:
            async with asyncio.timeout(timeout_seconds):
                status, answer = await self.connections.request("POST", QUERY, body)
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

    def _failed(self, error: AnswerError) -> None:
        if isinstance(error, AnotherRevisionError) and self._on_other_revision is not None:
            self._on_other_revision(error.revision)
        else:
            self._on_failure(error.rule_id, error.cause)


def _may_concern_one_input(error: AnswerError) -> bool:
    """Return whether the failure of a batch may come from one of its inputs."""
    of_all = error.rule_id in {rule_ids.ENGINE_TIMEOUT, rule_ids.ENGINE_UNAVAILABLE}
    return not of_all and not isinstance(error, AnotherRevisionError)
