"""What is kept of the policy input: sensitive values replaced where the tenant wants it. Policy saw the real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.core.detectors import candidates
from placet.core.model import Action, Model, ToolClass
from placet.core.policy_input import bare_facts, document, policy_input
from placet.core.redact import ANY_MEMBER, SENSITIVE, redact_params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.model import Decision, Proposal

REDACTED: Final = "redacted: the stored input lacks sensitive values that policy saw"
WITHHELD: Final = "withheld: Placet failed while redacting, so the stored input has no parameters"
NOT_SCREENED: Final = frozenset({"identity", "run", "facts", "now"})
"""Who did what in which run must be known: the trail is worth nothing with these replaced."""

WITHIN_CHARS_MIN: Final = 4
"""A sensitive text of fewer characters is not looked for within others: an "a" stands everywhere."""


@dataclass(frozen=True, slots=True)
class StoredInput:
    """The document to store; `why_not` says why it cannot be evaluated again, empty when it can."""

    document: bytes
    why_not: str = ""

    @property
    def replayable(self) -> bool:
        """Whether the document is what policy saw."""
        return not self.why_not


def redacted_input(seen: bytes, proposal: Proposal, agent_policy: AgentPolicy | None) -> StoredInput:
    """The policy input as it is stored. A tenant without a file is screened too: nothing says that it may be kept."""
    if agent_policy is not None and not agent_policy.redact:
        return StoredInput(seen)
    pointers = agent_policy.sensitive(proposal.action.tool) if agent_policy is not None else ()
    if not pointers and not candidates(proposal.document):  # most inputs: 5 us instead of 50
        return StoredInput(seen)
    said = orjson.loads(seen)
    screened = {key: value for key, value in said.items() if key not in NOT_SCREENED}
    redacted, changed = redact_params(screened, tuple("/action/params" + pointer for pointer in pointers))
    if not changed:
        return StoredInput(seen)
    return StoredInput(orjson.dumps({**said, **redacted}, option=orjson.OPT_SORT_KEYS), REDACTED)


def withheld_input(proposal: Proposal, now: str) -> StoredInput:
    """Who asked for what tool in which run, when redacting the rest failed: the least that a record must say."""
    action = Action(proposal.action.tool, b"{}", dry_run=proposal.action.dry_run)
    said = document(action, proposal.identity, proposal.run, Model(), ())
    return StoredInput(policy_input(said, bare_facts(ToolClass.UNKNOWN), now), WITHHELD)


def redacted_decision(decision: Decision, proposal: Proposal, agent_policy: AgentPolicy | None) -> Decision:
    """The decision as it is stored: a rule may have put what it saw into its finding's details."""
    if not any(finding.details for finding in decision.findings):
        return decision
    if agent_policy is not None and not agent_policy.redact:
        return decision
    pointers = agent_policy.sensitive(proposal.action.tool) if agent_policy is not None else ()
    secrets = _sensitive_values(proposal.action.params, pointers) if pointers else frozenset()
    findings = tuple(
        replace(each, details=_hidden(redact_params(dict(each.details), ())[0], secrets)) for each in decision.findings
    )
    return replace(decision, findings=findings)


def _sensitive_values(params: bytes, pointers: tuple[str, ...]) -> frozenset[str | float]:
    """Texts and numbers at and below the pointers."""
    said = orjson.loads(params)
    found: set[str | float] = set()
    for pointer in pointers:
        tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
        for value in _at(said, tokens):
            found.update(_leaves(value))
    return frozenset(found)


def _at(value: Any, tokens: Sequence[str]) -> Iterator[Any]:  # noqa: ANN401 - any JSON value
    """What stands at a pointer in which ``*`` is any member or index."""
    if not tokens:
        yield value
    for name, item in _members(value):
        if tokens and tokens[0] in {name, ANY_MEMBER}:
            yield from _at(item, tokens[1:])


def _leaves(value: Any) -> Iterator[str | float]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict | list):
        for _, item in _members(value):
            yield from _leaves(item)
    elif not isinstance(value, bool) and value is not None and value != "":
        yield value


def _members(value: Any) -> Iterable[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list):
        return ((str(index), item) for index, item in enumerate(value))
    return ()


def _hidden(value: Any, secrets: frozenset[str | float]) -> Any:  # noqa: ANN401 - any JSON value
    """The value without the secrets; a short one is hidden where it is the whole text alone."""
    if not secrets or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {key: _hidden(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, secrets) for item in value]
    if isinstance(value, str | int | float) and value in secrets:
        return SENSITIVE
    if isinstance(value, str):
        for secret in secrets:
            if isinstance(secret, str) and len(secret) >= WITHIN_CHARS_MIN:
                value = value.replace(secret, SENSITIVE)
    return value
