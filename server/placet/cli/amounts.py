"""Money as people write it."""

from __future__ import annotations

import re
from typing import Final

from placet.core.currency import EXPONENTS
from placet.core.errors import SetupError
from placet.core.faults import closest
from placet.sdk import Amount

_WRITTEN: Final = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))? ?(?P<code>[A-Za-z]{3})\Z")


def parse_amount(written: str) -> Amount:
    """``45.00 USD`` in exact minor units. SetupError when it is no amount, or finer than the currency."""
    match = _WRITTEN.match(written)
    if match is None:
        raise SetupError(f"--amount: {written!r} is not an amount; write e.g. --amount '45.00 USD'")
    code, part = match["code"], match["part"] or ""
    exponent = EXPONENTS.get(code)
    if exponent is None:
        near = closest(code.upper(), list(EXPONENTS))
        raise SetupError(f"--amount: {code!r} is not an ISO 4217 code; write e.g. {near or 'USD'}")
    if len(part) > exponent:
        raise SetupError(f"--amount: {written!r} has {len(part)} decimal places; {code} has {exponent}")
    return Amount(code, int(match["whole"] + part.ljust(exponent, "0")), exponent)
