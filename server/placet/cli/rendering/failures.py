"""Expected errors: the exit code, and one line for people with the remedy."""

from __future__ import annotations

from typing import Final

from placet import sdk
from placet.cli.rendering import exit_codes
from placet.kernel.errors import ConfigurationError, PlacetError, PolicyInvalidError
from placet.kernel.reasons import APPROVERS_UNKNOWN
from placet.sdk import failures
from placet.sdk._transport.bearer import UnusableTokenError

WRONG_USAGE: Final = frozenset({failures.INVALID_ARGUMENT, failures.KEY_REUSED})
"""The request itself is wrong: a corrected one can succeed."""
_REFUSALS: Final = frozenset({failures.NOT_PERMITTED, failures.NOT_NOW, failures.NOT_FOUND, failures.OUTCOME_DIFFERS})
"""Placet understood the request and refused it. Sending it again does not help."""
_TEMPORARY: Final = frozenset({APPROVERS_UNKNOWN})
"""Error reasons of refusals that another try may overcome."""
STORE_DOWN: Final = "LEDGER_UNAVAILABLE"
_NO_CREDENTIAL: Final = "CREDENTIAL_MISSING"
_OF_COMMANDS: Final = "commands take a token from PLACET_TOKEN, a certificate from PLACET_CLIENT_CERT_FILE"
_TLS_REMEDIES: Final = (
    (
        "was closed",
        "if the server uses TLS, set PLACET_TLS_CA_FILE, and for a client certificate PLACET_CLIENT_CERT_FILE",
    ),
    ("TLS handshake", "set PLACET_TLS_CA_FILE to the CAs of the server"),
    ("is for another host", "or name the server's host with --address"),
)
"""Part of why a server cannot be reached, and what to do about it."""
REMEDIES: Final = {
    failures.UNAVAILABLE: "start the server with `placet serve`, or name another one with --address",
    failures.TIMEOUT: "the server may have done it: check before you retry, or allow more time with --timeout",
    failures.OVERLOADED: "retry in some seconds",
    failures.KEY_REUSED: "use another --idempotency-key",
    failures.NOT_PERMITTED: "ask another person, or the operator of the server",
    failures.NOT_FOUND: "check the id and the tenant",
    failures.CONTENTION: "retry",
    failures.ANSWER_INVALID: "run the same version of Placet on both sides",
    failures.EFFECT_UNKNOWN: "run the same version of Placet on both sides",
    failures.ERROR: "check --address and the server's log",
}
"""Rule id of a failure -> what to do. The other failures carry a sentence of the server that says it."""


def explain(error: Exception) -> tuple[int, list[str]] | None:
    """Return the exit code and the lines for an expected error, None for any other."""
    match error:
        case ConfigurationError() | PolicyInvalidError():
            return exit_codes.USAGE, [str(error)]
        case PlacetError():
            return exit_codes.NO_DECISION, [f"{error}; see the server's log"]
        case sdk.CallFailedError():
            return code_of(error.failure), [line_of(error.failure)]
        case UnusableTokenError():
            return exit_codes.USAGE, [str(error)]
        case OSError() if error.filename is not None:
            return exit_codes.USAGE, [f"{error.filename}: {error.strerror}; check the path and its permissions"]
        case _:
            return None


def code_of(failure: sdk.Failure) -> int:
    """Return the exit code for a failed call.

    A refusal counts as one only with an error reason of Placet's: a status without a reason may come from a proxy.
    """
    if failure.rule_id in WRONG_USAGE:
        return exit_codes.USAGE
    refused = failure.rule_id in _REFUSALS and failure.error and failure.error not in _TEMPORARY
    return exit_codes.CHECK_FAILED if refused else exit_codes.NO_DECISION


def code_without_decision(failure: sdk.Failure) -> int:
    """Return the exit code of `placet authorize` for a failed call. It never exits with 1."""
    code = code_of(failure)
    return exit_codes.NO_DECISION if code == exit_codes.CHECK_FAILED else code


def line_of(failure: sdk.Failure) -> str:
    """Write a failure on one line: what is wrong, the remedy, and the id.

    A refusal and a failed store are the server's own sentence, which contains the remedy, and the server's id.
    """
    if failure.error == STORE_DOWN:
        return f"{failure.detail}; run `placet doctor` to check the server ({failure.error})"
    if failure.error == _NO_CREDENTIAL:
        return f"{failure.detail}; {_OF_COMMANDS} ({failure.error})"
    if failure.rule_id in _REFUSALS and failure.detail and failure.error:
        return f"{failure.detail} ({failure.error})"
    unreachable = failure.rule_id == failures.UNAVAILABLE and failure.detail and not failure.error
    text = failure.detail if unreachable else str(failure)
    remedy = _remedy(failure, text if unreachable else "")
    return f"{text}; {remedy} ({failure.rule_id})" if remedy else f"{text} ({failure.rule_id})"


def _remedy(failure: sdk.Failure, why_unreachable: str) -> str | None:
    of_tls = next((remedy for part, remedy in _TLS_REMEDIES if part in why_unreachable), None)
    return of_tls or REMEDIES.get(failure.rule_id)
