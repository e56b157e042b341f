"""What is kept of the policy input: sensitive values replaced where the tenant wants it. Policy saw the real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from placet.core.detectors import candidates
from placet.core.redact import redact_params

if TYPE_CHECKING:
    from placet.core.agent_policy import AgentPolicy
    from placet.core.model import Decision, Proposal

REDACTED: Final = "redacted: the stored input lacks sensitive values that policy saw"
NOT_SCREENED: Final = frozenset({"identity", "run", "facts", "now"})
"""Who did what in which run must be known: the trail is worth nothing with these replaced."""


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


def redacted_decision(decision: Decision, agent_policy: AgentPolicy | None) -> Decision:
    """The decision as it is stored: a rule may have put what it saw into its finding's details."""
    if not any(finding.details for finding in decision.findings):
        return decision
    if agent_policy is not None and not agent_policy.redact:
        return decision
    findings = tuple(replace(each, details=redact_params(dict(each.details), ())[0]) for each in decision.findings)
    return replace(decision, findings=findings)
