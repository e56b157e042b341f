"""ISO 4217 currencies and their decimal places. Source: ISO 4217 list one (active codes), 2024-06-25 and amendments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.limits import SAFE_INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

_TWO = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK
DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD
KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP
PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
USD UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"

EXPONENTS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_ZERO.split(), 0),
    **dict.fromkeys(_THREE.split(), 3),
}
"""Currency code -> decimal places of its minor unit."""


def scaled(value: Decimal, places: int) -> int:
    """Return a number above 0 in units of ``10 ** -places``: 45.5 with 2 places is 4550.

    Raises ValueError when the result is not a whole number, or is beyond SAFE_INTEGER_MAX.
    """
    _, digits, exponent = value.as_tuple()
    if value.adjusted() + places > len(str(SAFE_INTEGER_MAX)) or not isinstance(exponent, int):
        raise ValueError("is too large")
    shift = exponent + places
    written = int("".join(map(str, digits)))
    factor: int = 10 ** abs(shift)
    units, rest = (written * factor, 0) if shift >= 0 else divmod(written, factor)
    if rest:
        raise ValueError(f"has more than {places} decimal places" if places else "should be a whole number")
    if units > SAFE_INTEGER_MAX:
        raise ValueError("is too large")
    return units
