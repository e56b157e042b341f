"""Money as people write it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from placet.kernel.diagnostics import closest
from placet.kernel.errors import ConfigurationError
from placet.kernel.money import EXPONENTS
from placet.sdk import Amount

_WRITTEN: Final = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))? ?(?P<code>[A-Za-z]{3})\Z")
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}\Z")
_OF_AMOUNTS: Final = "amount:"
_COST: Final = "cost"
_MICROS: Final = 6
"""Decimal places of a micro."""
_EXAMPLE_MINOR_UNITS: Final = 4_500
_EXAMPLE_COST: Final = "2.00"
_DECIMAL: Final = re.compile(r"-?[0-9]{1,12}\.[0-9]{1,6}\Z")


def parse_amount(written: str) -> Amount:
    """``45.00 USD`` in exact minor units. ConfigurationError when it is no amount, or finer than the currency."""
    match = _WRITTEN.match(written)
    if match is None:
        raise ConfigurationError(f"--amount: {written!r} is not an amount; write e.g. --amount '45.00 USD'")
    code, part = match["code"], match["part"] or ""
    exponent = EXPONENTS.get(code)
    if exponent is None:
        near = closest(code.upper(), list(EXPONENTS))
        raise ConfigurationError(f"--amount: {code!r} is not an ISO 4217 code; write e.g. {near or 'USD'}")
    if len(part) > exponent:
        raise ConfigurationError(f"--amount: {written!r} has {len(part)} decimal places; {code} has {exponent}")
    return Amount(code, int(match["whole"] + part.ljust(exponent, "0")), exponent)


def parse_change(written: str, unit: str) -> int:
    """What a counter in `unit` is changed by: a whole number, or for amounts money with its code; may be negative.

    ConfigurationError for anything else, a decimal without a code among it: nobody could tell its unit.
    """
    if _WHOLE.match(written):
        return int(written)
    currency = unit.removeprefix(_OF_AMOUNTS) if unit.startswith(_OF_AMOUNTS) else ""
    if not currency or not _WRITTEN.match(written.removeprefix("-")):
        raise ConfigurationError(
            f"--amount: {written!r} is no whole number of {_what_is_counted(unit, currency, written)}"
        )
    amount = parse_amount(written.removeprefix("-"))
    if amount.currency_code != currency:
        raise ConfigurationError(f"--amount: {written!r} is not in {currency}, which the budget is counted in")
    return -amount.minor_units if written.startswith("-") else amount.minor_units


def money(minor_units: int, currency: str) -> str:
    """An amount in minor units, as people write it: ``45.00 USD``."""
    exponent = EXPONENTS.get(currency, 0)
    return f"{Decimal(minor_units).scaleb(-exponent):.{exponent}f} {currency}"


def counted(value: int, unit: str, currency: str = "") -> str:
    """What a counter says, for people: ``250.00 USD``, ``2.00 USD`` of cost, ``30`` calls.

    `currency` is that of cost; empty when it is not known.
    """
    if unit.startswith(_OF_AMOUNTS):
        return money(value, unit.removeprefix(_OF_AMOUNTS))
    if unit != _COST:
        return str(value)
    places = max(EXPONENTS.get(currency, 2), _places_needed(value))
    return f"{Decimal(value).scaleb(-_MICROS):.{places}f} {currency}".rstrip()


def _places_needed(micros: int) -> int:
    """Decimal places of a cost that is finer than its currency."""
    return len(f"{abs(micros) % 10**_MICROS:0{_MICROS}d}".rstrip("0"))


def _what_is_counted(unit: str, currency: str, written: str) -> str:
    """The unit, and how what was written is written in it, or an example where that cannot be told."""
    typed = written if _DECIMAL.match(written) else ""
    if currency:
        units = _scaled(typed, EXPONENTS.get(currency, 0)) or _EXAMPLE_MINOR_UNITS
        example = money(units, currency)
        return f"minor units of {currency}: write {units} for {example.split()[0]}, or '{example}'"
    if unit == _COST:
        shown = typed or _EXAMPLE_COST
        return f"micros of the tenant's currency: write {_scaled(shown, _MICROS)} for {shown}"
    return f"{unit or 'its unit'}: write e.g. 3"


def _scaled(typed: str, places: int) -> int:
    """A decimal in units of so many places; 0 for "", and for what is finer than they are."""
    units = Decimal(typed or 0).scaleb(places)
    return int(units) if units == units.to_integral_value() else 0
