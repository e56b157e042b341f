"""Amounts of money and counter values, as people write and read them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from placet.kernel.diagnostics import closest
from placet.kernel.errors import ConfigurationError
from placet.kernel.money import EXPONENTS
from placet.sdk import Amount

_MONEY: Final = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))? ?(?P<code>[A-Za-z]{3})\Z")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}\Z")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,12}\.[0-9]{1,6}\Z")
_AMOUNT_PREFIX: Final = "amount:"
"""Units of budgets that count money begin so; the currency code follows."""
_COST: Final = "cost"
_MICRO_PLACES: Final = 6
"""Decimal places of a micro."""
_EXAMPLE_MINOR_UNITS: Final = 4_500
_EXAMPLE_COST: Final = "2.00"


def parse_amount(text: str) -> Amount:
    """Parse an amount such as ``45.00 USD`` exactly. ConfigurationError when the currency has fewer decimal places."""
    match = _MONEY.match(text)
    if match is None:
        raise ConfigurationError(f"--amount: {text!r} is not an amount; write e.g. --amount '45.00 USD'")
    code, fraction = match["code"], match["fraction"] or ""
    exponent = EXPONENTS.get(code)
    if exponent is None:
        near = closest(code.upper(), list(EXPONENTS))
        raise ConfigurationError(f"--amount: {code!r} is not an ISO 4217 code; write e.g. {near or 'USD'}")
    if len(fraction) > exponent:
        raise ConfigurationError(f"--amount: {text!r} has {len(fraction)} decimal places; {code} has {exponent}")
    return Amount(code, int(match["whole"] + fraction.ljust(exponent, "0")), exponent)


def parse_adjustment(text: str, unit: str) -> int:
    """Parse the adjustment of a counter in this unit: an integer, or money for a unit that counts money.

    It may be negative. ConfigurationError for a decimal without a currency code, which could be minor or major units.
    """
    if _INTEGER.match(text):
        return int(text)
    currency = unit.removeprefix(_AMOUNT_PREFIX) if unit.startswith(_AMOUNT_PREFIX) else ""
    if not currency or not _MONEY.match(text.removeprefix("-")):
        raise ConfigurationError(
            f"--amount: {text!r} is not a whole number of {_unit_and_example(unit, currency, text)}"
        )
    amount = parse_amount(text.removeprefix("-"))
    if amount.currency_code != currency:
        raise ConfigurationError(f"--amount: {text!r} is not in {currency}, the currency of the budget")
    return -amount.minor_units if text.startswith("-") else amount.minor_units


def format_money(minor_units: int, currency: str) -> str:
    """Write an amount, e.g. ``45.00 USD``."""
    exponent = EXPONENTS.get(currency, 0)
    return f"{Decimal(minor_units).scaleb(-exponent):.{exponent}f} {currency}"


def format_count(value: int, unit: str, currency: str = "") -> str:
    """Write a value of a counter: ``250.00 USD``, ``2.00 USD`` of cost, ``30`` calls.

    `currency` is the currency of a cost; empty when it is unknown.
    """
    if unit.startswith(_AMOUNT_PREFIX):
        return format_money(value, unit.removeprefix(_AMOUNT_PREFIX))
    if unit != _COST:
        return str(value)
    places = max(EXPONENTS.get(currency, 2), _places_needed(value))
    return f"{Decimal(value).scaleb(-_MICRO_PLACES):.{places}f} {currency}".rstrip()


def _places_needed(micros: int) -> int:
    """Return the decimal places that write these micros exactly."""
    return len(f"{abs(micros) % 10**_MICRO_PLACES:0{_MICRO_PLACES}d}".rstrip("0"))


def _unit_and_example(unit: str, currency: str, text: str) -> str:
    """Name the unit, with the typed text in that unit as an example, or a fixed example when that is not possible."""
    typed = text if _DECIMAL.match(text) else ""
    if currency:
        units = _scaled(typed, EXPONENTS.get(currency, 0)) or _EXAMPLE_MINOR_UNITS
        example = format_money(units, currency)
        return f"minor units of {currency}: write {units} for {example.split()[0]}, or '{example}'"
    if unit == _COST:
        example = typed or _EXAMPLE_COST
        return f"micros of the tenant's currency: write {_scaled(example, _MICRO_PLACES)} for {example}"
    return f"{unit or 'its unit'}: write e.g. 3"


def _scaled(decimal: str, places: int) -> int:
    """Return a decimal in units of this many places; 0 for "" and for a decimal with more places."""
    units = Decimal(decimal or 0).scaleb(places)
    return int(units) if units == units.to_integral_value() else 0
