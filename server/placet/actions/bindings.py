"""Compares the fields that an action declares with its params. The params are what runs, so policy must judge the same.

An action declares `amount`, `environment`, `destination` and `dry_run` beside its params. A tenant's file binds these
fields to places in the params (``tools.<tool>.bind``). If a bound field differs, the action is denied before policy is
evaluated. This is Python and not a rule pack because amounts need exact decimals and the minor units of ISO 4217, and
because no policy tree may leave it out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel import rule_ids
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.kernel.model import Effect, Finding
from placet.kernel.money import EXPONENTS, scaled
from placet.matching.json_pointer import MISSING, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.model import Action, Amount

MAJOR: Final = "major"
"""Amounts in units of the currency: 45.00 USD."""
MINOR: Final = "minor"
"""Amounts in the currency's minor unit: 4500 for 45.00 USD."""
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
"""An amount as text. Readers disagree on signs, exponents, thousands separators and spaces, so these are rejected."""
_URL: Final = re.compile(
    r"(?P<scheme>https?|wss?)://(?P<host>[a-z0-9.-]+)(?P<port>:[0-9]{1,5})?(?:[/?#][!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
"""A URL that every reader splits alike: an ASCII host, no user, no backslash, no space. Others match no destination."""
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}
"""Ports that a URL may leave out."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a tool's params hold the declared fields, as JSON pointers; empty for a field that is not bound."""

    amount: str = ""
    currency: str = ""
    """A JSON pointer, or the currency code of every call of the tool."""
    unit: str = MINOR
    """MAJOR or MINOR."""
    environment: str = ""
    destination: str = ""
    dry_run: str = ""


def binding_findings(binding: Binding, action: Action) -> Sequence[Finding]:
    """Return a deny for each bound field that differs or is missing on either side; none when all agree."""
    params = orjson.loads(action.params)
    findings: list[Finding] = []
    if binding.amount:
        findings += _money(binding, action.amount, params)
    if binding.environment:
        findings += _environment(binding.environment, action, params)
    if binding.destination:
        findings += _destination(binding.destination, action, params)
    if binding.dry_run:
        findings += _dry_run(binding.dry_run, action, params)
    return findings


def _environment(pointer: str, action: Action, params: object) -> Sequence[Finding]:
    value = resolve(params, pointer)
    if not action.environment or _is_absent(value):
        return [_deny(rule_ids.BINDING_ENVIRONMENT_MISSING, pointer, action.environment)]
    if value != action.environment:
        return [_deny(rule_ids.BINDING_ENVIRONMENT_MISMATCH, pointer, action.environment)]
    return ()


def _destination(pointer: str, action: Action, params: object) -> Sequence[Finding]:
    value = resolve(params, pointer)
    if not action.destination or _is_absent(value):
        return [_deny(rule_ids.BINDING_DESTINATION_MISSING, pointer, action.destination)]
    if not _leads_to(value, action.destination):
        return [_deny(rule_ids.BINDING_DESTINATION_MISMATCH, pointer, action.destination)]
    return ()


def _dry_run(pointer: str, action: Action, params: object) -> Sequence[Finding]:
    """Compare the dry-run flag. Params without one agree with "no dry run", because tools then act for real."""
    value = resolve(params, pointer)
    if _is_absent(value):
        return [_deny(rule_ids.BINDING_DRY_RUN_MISSING, pointer, declared=True)] if action.dry_run else ()
    if value is not action.dry_run:
        return [_deny(rule_ids.BINDING_DRY_RUN_MISMATCH, pointer, action.dry_run)]
    return ()


def _money(binding: Binding, amount: Amount | None, params: object) -> Sequence[Finding]:
    value = resolve(params, binding.amount)
    if amount is None or amount.minor_units == 0 or _is_absent(value):
        return [_deny(rule_ids.BINDING_AMOUNT_MISSING, binding.amount, _declared(amount))]
    findings = _currency(binding, amount, params)
    problem = ""
    exponent = EXPONENTS.get(amount.currency_code) if binding.unit == MAJOR else 0
    if exponent is None:
        problem = rule_ids.BINDING_CURRENCY_UNKNOWN
    elif (minor_units := _minor_units(value, exponent)) == 0:
        problem = rule_ids.BINDING_AMOUNT_MISSING
    elif minor_units != amount.minor_units:
        problem = rule_ids.BINDING_AMOUNT_MISMATCH
    return [*findings, _deny(problem, binding.amount, _declared(amount))] if problem else findings


def _declared(amount: Amount | None) -> dict[str, Any] | None:
    return None if amount is None else {"currency_code": amount.currency_code, "minor_units": amount.minor_units}


def _currency(binding: Binding, amount: Amount, params: object) -> Sequence[Finding]:
    """Compare the currency, ignoring case: payment providers write ``usd``."""
    code: Any = binding.currency
    if code.startswith("/"):
        code = resolve(params, binding.currency)
        if _is_absent(code):
            return [_deny(rule_ids.BINDING_CURRENCY_MISSING, binding.currency, amount.currency_code)]
    if not isinstance(code, str) or not code.isascii() or code.upper() != amount.currency_code:
        return [_deny(rule_ids.BINDING_CURRENCY_MISMATCH, binding.currency, amount.currency_code)]
    return ()


def _is_absent(value: object) -> bool:
    return value is MISSING or value is None or value == ""


def _minor_units(value: object, exponent: int) -> int | None:
    """Return the exact amount in minor units; None when `value` is no amount or no whole number of minor units."""
    if type(value) is int:
        units = value * 10**exponent
        return units if 0 <= units <= SAFE_INTEGER_MAX else None
    if isinstance(value, float):
        decimal = Decimal(repr(value))  # the shortest digits that give this number: those of the canonical params
    elif isinstance(value, str) and _DECIMAL.fullmatch(value):
        decimal = Decimal(value)
    else:
        return None
    try:
        return scaled(decimal, exponent) if decimal >= 0 else None
    except ValueError:
        return None


def _leads_to(value: object, destination: str) -> bool:
    """Return whether the value names the destination: the same text, or a URL of exactly that host (and port)."""
    if not isinstance(value, str):
        return False
    if value == destination:
        return True
    url = _URL.fullmatch(value)
    if url is None:
        return False
    host, port = url["host"].lower(), url["port"] or ""
    if port == _DEFAULT_PORTS[url["scheme"].lower()]:
        port = ""
    return host + port == destination.lower()


def _deny(rule_id: str, pointer: str, declared: object) -> Finding:
    """Return a deny that names the place in the params but not its value, which may be too sensitive to record."""
    return Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], {"pointer": pointer, "declared": declared})
