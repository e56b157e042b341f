"""Errors that are expected to happen: the exit code, and a line for people with the remedy."""

from __future__ import annotations

from typing import Final

from placet import sdk
from placet.cli.rendering import exit_codes
from placet.kernel.errors import ConfigurationError, PlacetError, PolicyInvalidError
from placet.kernel.reasons import APPROVERS_UNKNOWN
from placet.sdk import failures

WRONG_USAGE: Final = frozenset({failures.INVALID_ARGUMENT, failures.KEY_REUSED})
"""Failures that another request would mend."""
_REFUSALS: Final = frozenset({failures.NOT_PERMITTED, failures.NOT_NOW, failures.NOT_FOUND, failures.OUTCOME_DIFFERS})
"""Placet looked at what was asked and refuses it: trying again does not help."""
_COULD_NOT_TELL: Final = frozenset({APPROVERS_UNKNOWN})
"""Reasons of a refusal that says only that Placet cannot tell now."""
STORE_DOWN: Final = "LEDGER_UNAVAILABLE"
REMEDIES: Final = {
    failures.UNAVAILABLE: "start the server with `placet serve`, or name another with --address",
    failures.TIMEOUT: "what was asked may have been done: look, then try again, or allow more time with --timeout",
    failures.OVERLOADED: "try again later",
    failures.INVALID_ARGUMENT: "correct what is named",
    failures.KEY_REUSED: "use another --idempotency-key",
    failures.NOT_PERMITTED: "ask another person, or whoever runs the server",
    failures.NOT_NOW: "do what it says",
    failures.CONTENTION: "try again",
    failures.OUTCOME_DIFFERS: "find out which of the two is true",
    failures.NOT_FOUND: "check the id and the tenant",
    failures.ANSWER_INVALID: "run the same version of Placet on both sides",
    failures.EFFECT_UNKNOWN: "run the same version of Placet on both sides",
    failures.ERROR: "check --address, and the server's log",
}


def explain(error: Exception) -> tuple[int, list[str]] | None:
    """The exit code and the lines; None for an error that nobody expected."""
    match error:
        case ConfigurationError() | PolicyInvalidError():
            return exit_codes.USAGE, [str(error)]
        case PlacetError():
            return exit_codes.NO_DECISION, [f"{error}; see the server's log"]
        case sdk.CallFailedError():
            return code_of(error.failure), [line_of(error.failure)]
        case OSError() if error.filename is not None:
            return exit_codes.USAGE, [f"{error.filename}: {error.strerror}; check the path and who may use it"]
        case _:
            return None


def code_of(failure: sdk.Failure) -> int:
    """What a command ends with when a call failed so; the one place that says it.

    A refusal counts only with a reason of Placet's own: what a proxy says is no answer.
    """
    if failure.rule_id in WRONG_USAGE:
        return exit_codes.USAGE
    refused = failure.rule_id in _REFUSALS and failure.error and failure.error not in _COULD_NOT_TELL
    return exit_codes.CHECK_FAILED if refused else exit_codes.NO_DECISION


def code_without_decision(failure: sdk.Failure) -> int:
    """What `placet authorize` ends with: 1 is none of its codes, and whatever is no decision is 5."""
    code = code_of(failure)
    return exit_codes.NO_DECISION if code == exit_codes.CHECK_FAILED else code


def line_of(failure: sdk.Failure) -> str:
    """One line for people, with the remedy and the id of what is wrong.

    A refusal is the server's sentence, which says what to do, and the server's id.
    """
    if failure.error == STORE_DOWN:
        return f"{failure.detail}; `placet doctor` looks at the server ({failure.error})"
    if failure.rule_id in _REFUSALS and failure.detail and failure.error:
        return f"{failure.detail} ({failure.error})"
    if failure.rule_id == failures.UNAVAILABLE and failure.detail and not failure.error:
        return f"{failure.detail}; {REMEDIES[failure.rule_id]} ({failure.rule_id})"
    return f"{failure}; {REMEDIES[failure.rule_id]} ({failure.rule_id})"
