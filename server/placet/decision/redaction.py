"""Redacts the policy input and the decision before they are recorded.

Policy always sees the real values. The recorder replaces sensitive values unless the tenant's file turns that off.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import Struct
from msgspec.structs import replace

from placet.actions.document import canonical_request
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.limits import STEP_BYTES
from placet.kernel.model import Action, Model, ToolClass
from placet.kernel.steps import TOGETHER
from placet.privacy.detectors import TooMuchToScreenError, candidates
from placet.privacy.redaction import UNSCREENED, redact_text, redacting, values_under_secret_names
from placet.privacy.secret_names import may_be_secret
from placet.privacy.value_walk import ANY_MEMBER, SENSITIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from placet.kernel.model import Decision, Finding, Obligation, Proposal
    from placet.kernel.steps import Steps
    from placet.tenants.policy import TenantPolicy

REDACTED: Final = "redacted: the stored input lacks sensitive values that policy saw"
WITHHELD: Final = "withheld: Placet failed while redacting, so the stored input has no parameters"
NOT_SCREENED: Final = frozenset({"identity", "run", "facts", "now"})
"""Members of the input that are never screened: the audit trail must name the identity and the run."""

SENSITIVE_VALUES_MAX: Final = 256
"""Sensitive values that are searched for in reasons and details. With more, the reasons and details are omitted."""
NUMBER_MIN: Final = 100
"""Smaller numbers under a secret name are not searched for elsewhere: a 2 may also be a quorum."""
WITHIN_CHARS_MIN: Final = 4
"""Sensitive texts with fewer characters are not searched for within longer texts: an "a" is everywhere."""


class StoredInput(Struct, frozen=True, gc=False):
    """The policy input as it is stored."""

    document: bytes
    why_not: str = ""
    """Why the document cannot be evaluated again; "" when it can."""

    @property
    def replayable(self) -> bool:
        """Whether the document equals the input that policy saw."""
        return not self.why_not


def redacted_input(original: bytes, proposal: Proposal, agent_policy: TenantPolicy | None) -> Steps[StoredInput]:
    """Return the policy input as it is stored. `original` is the input that policy saw.

    The input of a tenant without a file is screened too, because no setting allows to store it as it is.
    """
    if agent_policy is not None and not agent_policy.redact:
        return StoredInput(original)
    pointers = agent_policy.sensitive(proposal.action.tool) if agent_policy is not None else ()
    if not pointers and not candidates(proposal.screened or proposal.document):  # most inputs: 3 us instead of 50
        return StoredInput(original)
    members = orjson.loads(original)
    screened = {key: value for key, value in members.items() if key not in NOT_SCREENED}
    redacted = yield from redacting(screened, tuple("/action/params" + pointer for pointer in pointers))
    if not redacted.changed:
        return StoredInput(original)
    stored = redacted.value if not redacted.why_whole else _withheld(proposal)
    if members["facts"].get("params_schema", {}).get("violations"):  # they quote names that the caller chose
        stored["facts"] = {**members["facts"], "params_schema": {"omitted": UNSCREENED}}
    why_not = REDACTED + (f"; it holds {redacted.why_whole}" if redacted.why_whole else "")
    return StoredInput(orjson.dumps({**members, **stored}, option=orjson.OPT_SORT_KEYS), why_not)


def withheld_input(proposal: Proposal, now: str) -> StoredInput:
    """Return an input with only identity, tool and run: the least that a record must say when redaction failed."""
    action = Action(proposal.action.tool, b"{}", dry_run=proposal.action.dry_run)
    least = canonical_request(action, proposal.identity, proposal.run, Model(), ())
    return StoredInput(policy_input(least, base_facts(ToolClass.UNKNOWN), now), WITHHELD)


def _withheld(proposal: Proposal) -> dict[str, Any]:
    """Return the input without the fields that a caller fills with free text."""
    proposed = proposal.action
    action = Action(proposed.tool, _OMITTED, proposed.amount, dry_run=proposed.dry_run)
    model = replace(proposal.model, name="", prompt_version="")
    members: dict[str, Any] = orjson.loads(canonical_request(action, proposal.identity, proposal.run, model, ()))
    return members


_OMITTED: Final = orjson.dumps({"omitted": UNSCREENED})


def redacted_decision(decision: Decision, proposal: Proposal, agent_policy: TenantPolicy | None) -> Steps[Decision]:
    """Return the decision as it is stored, without sensitive values; the same object when it holds none.

    A rule may have copied such values into a reason, into details, or into the parameters of an obligation. Rule ids
    and the ids of obligations are names from policy: they stay.
    """
    if agent_policy is not None and not agent_policy.redact:
        return decision
    pointers = agent_policy.sensitive(proposal.action.tool) if agent_policy is not None else ()
    secrets = yield from _sensitive_values(proposal.action.params, pointers)
    if not secrets.values and _has_only_titles(decision):
        return decision
    changed = False
    findings: list[Finding] = []
    for finding in decision.findings:
        redacted = yield from _redacted_finding(finding, secrets)
        changed |= redacted is not finding
        findings.append(redacted)
        if not len(findings) % TOGETHER:
            yield
    obligations: list[Obligation] = []
    for obligation in decision.obligations:
        details = yield from _redacted_details(obligation.details, secrets)
        changed |= details is not obligation.details
        obligations.append(replace(obligation, details=details))
    reason = _redacted_reason(decision.reason, secrets)
    if not changed and reason == decision.reason:
        return decision
    return replace(decision, reason=reason, findings=tuple(findings), obligations=tuple(obligations))


def _has_only_titles(decision: Decision) -> bool:
    """Return whether the decision has no details, and reasons without sensitive values, as most decisions do."""
    if decision.obligations or _redacted_title(decision.reason) != decision.reason:
        return False
    for finding in decision.findings:
        if finding.details or _redacted_title(finding.reason) != finding.reason:
            return False
    return True


def _redacted_finding(finding: Finding, secrets: _Secrets) -> Steps[Finding]:
    """Return the finding as it is stored; the same object when it holds nothing sensitive."""
    reason = _redacted_reason(finding.reason, secrets)
    details = (yield from _redacted_details(finding.details, secrets)) if finding.details else finding.details
    if reason == finding.reason and details is finding.details:
        return finding
    return replace(finding, reason=reason, details=details)


def _redacted_reason(reason: str, secrets: _Secrets) -> str:
    hidden = secrets.hidden(reason)
    return _redacted_title(reason) if hidden is reason else redact_text(hidden)


@lru_cache(maxsize=1_024)
def _redacted_title(reason: str) -> str:
    """Return a reason without sensitive values. Most reasons are titles of rules, so they come again: 0.1 us, not 3."""
    return redact_text(reason)


def _redacted_details(details: Mapping[str, Any], secrets: _Secrets) -> Steps[Mapping[str, Any]]:
    """Return the details as they are stored: the same object when they hold nothing sensitive.

    Details that are too large to screen become a note.
    """
    hidden: Mapping[str, Any] = secrets.hidden(details)
    redacted = yield from redacting(hidden)
    if redacted.why_whole:
        return {"omitted": UNSCREENED}
    stored: Mapping[str, Any] = redacted.value
    return stored


class _Secrets(Struct, frozen=True, gc=False):
    """Values at sensitive pointers and under secret names, which a rule may have copied."""

    values: frozenset[str | float]
    too_many: bool = False
    """Whether there are more than SENSITIVE_VALUES_MAX, so that a text or an object is omitted as a whole."""

    def hidden(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the JSON value with the secrets replaced.

        Secrets of fewer than WITHIN_CHARS_MIN characters are replaced only where they are the whole text.
        """
        if not self.values or isinstance(value, bool):
            return value
        if self.too_many:
            return {"omitted": UNSCREENED} if isinstance(value, dict) else UNSCREENED
        return _hidden(value, self.values)


_NO_SECRETS: Final = _Secrets(frozenset())


def _sensitive_values(params: bytes, pointers: tuple[str, ...]) -> Steps[_Secrets]:
    """Return the texts and numbers at and below the pointers, and under secret names."""
    by_name = not params.isascii() or may_be_secret(params.decode())
    if not pointers and not by_name:
        return _NO_SECRETS
    values: set[str | float] = set()
    parsed = orjson.loads(params)
    for pointer in pointers:
        tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
        for value in _at(parsed, tokens):
            values.update(_leaves(value))
        if len(params) > STEP_BYTES:
            yield
    try:
        for value in values_under_secret_names(parsed):
            values.update(leaf for leaf in _leaves(value) if isinstance(leaf, str) or abs(leaf) >= NUMBER_MIN)
    except TooMuchToScreenError:
        return _Secrets(frozenset({UNSCREENED}), too_many=True)
    if len(params) > STEP_BYTES:
        yield
    return _Secrets(frozenset(values), too_many=len(values) > SENSITIVE_VALUES_MAX)


def _at(value: Any, tokens: Sequence[str]) -> Iterator[Any]:  # noqa: ANN401 - any JSON value
    """Yield the values at a pointer in which ``*`` matches any member or index."""
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
    if isinstance(value, bool):
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
