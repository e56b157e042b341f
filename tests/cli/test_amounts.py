"""Money as people write it and read it."""

from __future__ import annotations

import pytest

from placet.cli.rendering.amounts import format_count, format_money, parse_adjustment
from placet.kernel.errors import ConfigurationError


@pytest.mark.parametrize(
    ("written", "unit", "change"),
    [
        ("3", "calls", 3),
        ("-4500", "amount:USD", -4_500),
        ("45.00 USD", "amount:USD", 4_500),
        ("-45.00 USD", "amount:USD", -4_500),
        ("-45 JPY", "amount:JPY", -45),
        ("2000000", "cost", 2_000_000),
    ],
)
def test_a_counter_is_changed_by_whole_numbers_or_money(written: str, unit: str, change: int) -> None:
    assert parse_adjustment(written, unit) == change


@pytest.mark.parametrize(
    ("written", "unit", "complaint"),
    [
        ("45.00", "amount:USD", "minor units of USD: write 4500 for 45.00, or '45.00 USD'"),
        ("5.00", "amount:USD", "minor units of USD: write 500 for 5.00, or '5.00 USD'"),
        ("-7.5", "amount:USD", "minor units of USD: write -750 for -7.50, or '-7.50 USD'"),
        ("0.125", "amount:USD", "minor units of USD: write 4500 for 45.00, or '45.00 USD'"),
        ("0.35", "cost", "micros of the tenant's currency: write 350000 for 0.35"),
        ("x", "cost", "micros of the tenant's currency: write 2000000 for 2.00"),
        ("4_500", "amount:USD", "minor units of USD"),
        ("+45", "amount:USD", "minor units of USD"),
        ("٤٥", "amount:USD", "minor units of USD"),
        ("45.00 EUR", "amount:USD", "is not in USD"),
        ("45.001 USD", "amount:USD", "3 decimal places"),
        ("4500.5", "amount:JPY", "minor units of JPY: write 4500 for 4500"),
        ("2.00", "cost", "micros of the tenant's currency: write 2000000 for 2.00"),
        ("2.00 USD", "cost", "micros of the tenant's currency"),
        ("2.00 USD", "calls", "not a whole number of calls"),
        ("", "tokens", "not a whole number of tokens"),
        ("1.5", "", "not a whole number of its unit"),
    ],
)
def test_ambiguous_adjustments_are_refused_with_the_unit(written: str, unit: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match="--amount") as refused:
        parse_adjustment(written, unit)
    assert complaint in str(refused.value)


def test_money_has_the_places_of_its_currency() -> None:
    assert [format_money(4_500, code) for code in ("USD", "JPY", "BHD")] == ["45.00 USD", "4500 JPY", "4.500 BHD"]
    assert format_money(-5, "USD") == "-0.05 USD"


@pytest.mark.parametrize(
    ("value", "unit", "currency", "shown"),
    [
        (25_000, "amount:USD", "USD", "250.00 USD"),
        (-1, "amount:JPY", "JPY", "-1 JPY"),
        (2_000_000, "cost", "USD", "2.00 USD"),
        (1_234, "cost", "USD", "0.001234 USD"),
        (-2_500_000, "cost", "USD", "-2.50 USD"),
        (2_000_000, "cost", "", "2.00"),
        (30, "calls", "", "30"),
    ],
)
def test_counter_values_are_formatted(value: int, unit: str, currency: str, shown: str) -> None:
    assert format_count(value, unit, currency) == shown
