"""What params say against what the action declares: bindings."""

from __future__ import annotations

import contextlib
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.actions.bindings import Binding, binding_findings
from placet.actions.canonical_json import canonical, parse_object
from placet.controls.snapshot import NO_CONTROLS
from placet.decision.attempt import Attempt, Request
from placet.decision.context import BatchContext, EvaluationContext
from placet.decision.guards import deny_before_policy
from placet.kernel.model import Action, Amount, Caller, Effect
from placet.kernel.money import EXPONENTS, scaled
from tests.support.builders import policy, proposal
from tests.support.fakes import ScriptedPolicy

if TYPE_CHECKING:
    from placet.decision.combining import Resolution
    from placet.kernel.model import Proposal
    from placet.tenants.policy import TenantPolicy

MAJOR = Binding(amount="/amount", currency="/currency", unit="major")
MINOR = Binding(amount="/amount", currency="/currency", unit="minor")
FIXED = Binding(amount="/total/value", currency="USD", unit="minor")


def ids(binding: Binding, params: str, **declared: Any) -> list[str]:
    findings = binding_findings(binding, Action("pay", canonical(parse_object(params)), **declared))
    assert all(finding.effect is Effect.DENY and finding.reason for finding in findings)
    return [finding.rule_id.removeprefix("bindings.") for finding in findings]


def usd(minor_units: int, currency: str = "USD") -> dict[str, Any]:
    return {"amount": Amount(currency, minor_units)}


@pytest.mark.parametrize(
    ("binding", "params", "minor_units", "currency"),
    [
        (MAJOR, '{"amount": 900.00, "currency": "USD"}', 90_000, "USD"),
        (MAJOR, '{"amount": 9e2, "currency": "USD"}', 90_000, "USD"),
        (MAJOR, '{"amount": "900.00", "currency": "usd"}', 90_000, "USD"),
        (MAJOR, '{"amount": "900", "currency": "Usd"}', 90_000, "USD"),
        (MAJOR, '{"amount": "900.000", "currency": "USD"}', 90_000, "USD"),
        (MAJOR, '{"amount": 0.29, "currency": "USD"}', 29, "USD"),  # 0.29 * 100 is 28.999999999999996 as a float
        (MAJOR, '{"amount": 1.1, "currency": "USD"}', 110, "USD"),
        (MAJOR, '{"amount": 45, "currency": "JPY"}', 45, "JPY"),
        (MAJOR, '{"amount": 0.001, "currency": "KWD"}', 1, "KWD"),
        (MAJOR, '{"amount": "90071992547409.91", "currency": "USD"}', 2**53 - 1, "USD"),
        (MINOR, '{"amount": 4500, "currency": "USD"}', 4_500, "USD"),
        (MINOR, '{"amount": "4500", "currency": "XAU"}', 4_500, "XAU"),
        (FIXED, '{"total": {"value": 4500}}', 4_500, "USD"),
    ],
)
def test_amounts_that_agree(binding: Binding, params: str, minor_units: int, currency: str) -> None:
    assert ids(binding, params, **usd(minor_units, currency)) == []


@pytest.mark.parametrize(
    ("binding", "params", "minor_units", "told"),
    [
        (MAJOR, '{"amount": 900.00, "currency": "USD"}', 45, ["amount_mismatch"]),
        (MAJOR, '{"amount": 4500, "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MINOR, '{"amount": 45.00, "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MINOR, '{"amount": 4500.5, "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": 45.001, "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": -45, "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "-45.00", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "+45.00", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": " 45.00", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "45.00\\n", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "4.5e1", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "45,00", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "1_000", "currency": "USD"}', 100_000, ["amount_mismatch"]),
        (MAJOR, '{"amount": "\\u0664\\u0665", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "NaN", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": 1e300, "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": true, "currency": "USD"}', 100, ["amount_mismatch"]),
        (MAJOR, '{"amount": [45], "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": {"value": 45}, "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"amount": "$45", "currency": "USD"}', 4_500, ["amount_mismatch"]),
        (MAJOR, '{"currency": "USD"}', 4_500, ["amount_missing"]),
        (MAJOR, '{"amount": null, "currency": "USD"}', 4_500, ["amount_missing"]),
        (MAJOR, '{"amount": "", "currency": "USD"}', 4_500, ["amount_missing"]),
        (MAJOR, '{"amount": 0, "currency": "USD"}', 4_500, ["amount_missing"]),
        (MAJOR, '{"amount": "0.00", "currency": "USD"}', 4_500, ["amount_missing"]),
        (MAJOR, '{"amount": 0, "currency": "USD"}', 0, ["amount_missing"]),
        (MAJOR, '{"Amount": 45, "currency": "USD"}', 4_500, ["amount_missing"]),
        (MAJOR, '{"amount": 45}', 4_500, ["currency_missing"]),
        (MAJOR, '{"amount": 45, "currency": null}', 4_500, ["currency_missing"]),
        (MAJOR, '{"amount": 45, "currency": "EUR"}', 4_500, ["currency_mismatch"]),
        (MAJOR, '{"amount": 45, "currency": "US"}', 4_500, ["currency_mismatch"]),
        (MAJOR, '{"amount": 45, "currency": ["USD"]}', 4_500, ["currency_mismatch"]),
        (MAJOR, '{"amount": 45, "currency": "\\u017fUSD"}', 4_500, ["currency_mismatch"]),
        (MAJOR, '{"amount": 900, "currency": "EUR"}', 45, ["currency_mismatch", "amount_mismatch"]),
        (FIXED, '{"total": {"value": 4501}}', 4_500, ["amount_mismatch"]),
        (FIXED, '{"total": 4500}', 4_500, ["amount_missing"]),
    ],
)
def test_amounts_that_differ(binding: Binding, params: str, minor_units: int, told: list[str]) -> None:
    assert ids(binding, params, **usd(minor_units)) == told


def test_money_that_is_not_declared() -> None:
    assert ids(MAJOR, '{"amount": 900, "currency": "USD"}') == ["amount_missing"]


def test_another_currency_than_the_fixed_one() -> None:
    assert ids(FIXED, '{"total": {"value": 4500}}', **usd(4_500, "EUR")) == ["currency_mismatch"]


def test_a_currency_without_a_known_minor_unit_cannot_be_compared_in_units() -> None:
    assert ids(MAJOR, '{"amount": 45, "currency": "XAU"}', **usd(4_500, "XAU")) == ["currency_unknown"]


@given(
    currency=st.sampled_from(sorted(EXPONENTS)),
    minor_units=st.integers(1, 2**53 - 1),
    declared=st.integers(1, 2**53 - 1),
    as_text=st.booleans(),
)
def test_units_and_minor_units_agree_exactly_when_they_are_equal(
    currency: str, minor_units: int, declared: int, *, as_text: bool
) -> None:
    text = format(Decimal(minor_units).scaleb(-EXPONENTS[currency]), "f")
    if not as_text and Decimal(repr(float(text))) != Decimal(text):
        return  # no JSON number holds it, so the caller's own writer changed it
    written = json.dumps(text) if as_text else text
    params = f'{{"amount": {written}, "currency": "{currency}"}}'
    assert ids(MAJOR, params, **usd(minor_units, currency)) == []
    assert ids(MAJOR, params, **usd(declared, currency)) == (["amount_mismatch"] if declared != minor_units else [])


@pytest.mark.parametrize(
    ("params", "declared", "told"),
    [
        ({"env": "staging"}, "staging", []),
        ({"env": "production"}, "staging", ["environment_mismatch"]),
        ({"env": "Staging"}, "staging", ["environment_mismatch"]),
        ({"env": ["staging"]}, "staging", ["environment_mismatch"]),
        ({}, "staging", ["environment_missing"]),
        ({"env": None}, "staging", ["environment_missing"]),
        ({"env": "staging"}, "", ["environment_missing"]),
        ({}, "", ["environment_missing"]),
    ],
)
def test_environments(params: dict[str, Any], declared: str, told: list[str]) -> None:
    assert ids(Binding(environment="/env"), json.dumps(params), environment=declared) == told


@pytest.mark.parametrize(
    ("said", "declared", "told"),
    [
        ("support.escalations", "support.escalations", []),
        ("payments.out", "support.escalations", ["destination_mismatch"]),
        ("https://api.example/v1?x=1#y", "api.example", []),
        ("HTTPS://API.example", "api.example", []),
        ("https://api.example:443/", "api.example", []),
        ("https://api.example:8443/", "api.example:8443", []),
        ("https://api.example:8443/", "api.example", ["destination_mismatch"]),
        ("http://api.example:443/", "api.example", ["destination_mismatch"]),
        ("https://api.example.evil.io/", "api.example", ["destination_mismatch"]),
        ("https://api.example@evil.io/", "api.example", ["destination_mismatch"]),
        ("https://api.example:pw@evil.io/", "api.example", ["destination_mismatch"]),
        ("https://evil.io\\@api.example/", "api.example", ["destination_mismatch"]),
        ("https://evil.io/@api.example", "api.example", ["destination_mismatch"]),
        ("https://evil.io#@api.example", "api.example", ["destination_mismatch"]),
        ("https:///api.example/", "api.example", ["destination_mismatch"]),
        ("https:api.example", "api.example", ["destination_mismatch"]),
        ("//api.example/", "api.example", ["destination_mismatch"]),
        (" https://api.example/", "api.example", ["destination_mismatch"]),
        ("https://api.example/\n@evil.io", "api.example", ["destination_mismatch"]),
        ("https://api\t.example/", "api.example", ["destination_mismatch"]),
        ("https://ap\u0456.example/", "api.example", ["destination_mismatch"]),
        ("https://api%2eexample/", "api.example", ["destination_mismatch"]),
        ("ftp://api.example/", "api.example", ["destination_mismatch"]),
        (["https://api.example/"], "api.example", ["destination_mismatch"]),
        ("", "api.example", ["destination_missing"]),
        ("https://api.example/", "", ["destination_missing"]),
    ],
)
def test_destinations(said: object, declared: str, told: list[str]) -> None:
    assert ids(Binding(destination="/url"), json.dumps({"url": said}), destination=declared) == told


@pytest.mark.parametrize(
    ("params", "declared", "told"),
    [
        ({"dry_run": True}, True, []),
        ({"dry_run": False}, False, []),
        ({}, False, []),
        ({"dry_run": None}, False, []),
        ({}, True, ["dry_run_missing"]),
        ({"dry_run": False, "force": True}, True, ["dry_run_mismatch"]),
        ({"dry_run": True}, False, ["dry_run_mismatch"]),
        ({"dry_run": "true"}, True, ["dry_run_mismatch"]),
        ({"dry_run": 1}, True, ["dry_run_mismatch"]),
        ({"dry_run": 0}, False, ["dry_run_mismatch"]),
    ],
)
def test_dry_runs(params: dict[str, Any], *, declared: bool, told: list[str]) -> None:
    assert ids(Binding(dry_run="/dry_run"), json.dumps(params), dry_run=declared) == told


def test_the_finding_names_the_place_and_not_the_value_there() -> None:
    [finding] = binding_findings(
        Binding(destination="/url"),
        Action("get", b'{"url":"https://x.example/?token=s3cret"}', destination="y.example"),
    )
    assert finding.details == {"pointer": "/url", "declared": "y.example"}


def control(
    proposed: Proposal, agent_policy: TenantPolicy, approval_error: tuple[str, str] | None
) -> Resolution | None:
    """What the guards before policy say."""
    attempt = Attempt(0, Request(proposed, Caller(peer="test"), 0))
    context = EvaluationContext(
        attempt, NO_CONTROLS, 0, b"{}", agent_policy=agent_policy, approval_error=approval_error
    )
    return deny_before_policy(context, BatchContext(ScriptedPolicy(), "rev", stale=False, contexts=[context]))


def test_it_denies_before_policy_and_after_what_is_not_known_at_all() -> None:
    bound = policy(tools={"pay": {"bind": {"amount": "/amount", "currency": "USD", "unit": "minor"}}})
    wrong = proposal("pay", params={"amount": 90_000}, amount=(45, "USD"))
    denied = control(wrong, bound, None)
    assert denied is not None
    assert (denied.effect, denied.rule_id) == (Effect.DENY, "bindings.amount_mismatch")
    assert [finding.rule_id for finding in denied.findings] == ["bindings.amount_mismatch"]
    refused = control(wrong, bound, ("approvals.unknown", "no such approval"))
    assert refused is not None
    assert refused.rule_id == "approvals.unknown"
    assert control(proposal("pay", params={"amount": 45}, amount=(45, "USD")), bound, None) is None
    assert control(wrong, policy(), None) is None


def test_several_differences_are_all_told_and_named_by_the_smallest_id() -> None:
    bind = {"amount": "/amount", "currency": "/currency", "unit": "minor", "environment": "/env", "dry_run": "/dry_run"}
    asked = proposal("pay", params={"amount": 1, "currency": "EUR"}, amount=(2, "USD"), environment="x", dry_run=True)
    denied = control(asked, policy(tools={"pay": {"bind": bind}}), None)
    assert denied is not None
    assert [finding.rule_id.removeprefix("bindings.") for finding in denied.findings] == [
        "amount_mismatch",
        "currency_mismatch",
        "dry_run_missing",
        "environment_missing",
    ]
    assert denied.rule_id == "bindings.amount_mismatch"


@given(
    st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(0, 10**6, places=2).map(float)
    | st.decimals(0, 10**6, places=2).map(str)
    | st.booleans()
    | st.text("0123456789.-e", max_size=6),
    st.sampled_from([0, 2, 3]),
)
def test_amounts_are_compared_exactly(value: Any, exponent: int) -> None:
    """Numbers as orjson reads them give the same minor units as decimals of their text in the params."""
    params = canonical({"amount": value if not isinstance(value, int) or abs(value) < 2**53 else str(value)})
    exact = json.loads(params, parse_float=Decimal)["amount"]
    expected = None
    if isinstance(exact, str) and re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", exact):
        exact = Decimal(exact)
    if isinstance(exact, int | Decimal) and not isinstance(exact, bool) and exact >= 0:
        with contextlib.suppress(ValueError):
            expected = scaled(Decimal(exact), exponent)
    binding = Binding(amount="/amount", currency="USD" if exponent == 2 else "KWD", unit="major")
    if exponent == 0:
        binding = Binding(amount="/amount", currency="USD", unit="minor")
    currency = "KWD" if exponent == 3 else "USD"
    declared = [Amount(currency, expected or 1), Amount(currency, (expected or 1) + 1)]
    agree = [not binding_findings(binding, Action("pay", params, amount)) for amount in declared]
    assert agree == [bool(expected), False]
