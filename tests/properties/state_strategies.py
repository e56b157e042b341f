"""Strategies of random histories: requests, changes by people, and time. They draw few values, which collide."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from placet.actions.outcome import OutcomeStatus
from tests.properties.state_changes import ReportedOutcome
from tests.properties.state_reference import PEOPLE, Ask

FRESH: Final = "fresh"
"""A placeholder for an unused idempotency key."""
asks = st.builds(
    Ask,
    key=st.sampled_from([FRESH, FRESH, FRESH, "a", "b"]),
    tenant=st.sampled_from(["acme", "acme", "beta"]),
    caller=st.sampled_from(["c1", "c1", "c2"]),
    tool=st.sampled_from(["pay", "pay", "mail", "look"]),
    user=st.sampled_from(["u1", "u2"]),
    agent=st.sampled_from(["bot1", "bot2", "bot3"]),
    run=st.sampled_from(["r1", "r2", "r3", "r4"]),
    customer=st.sampled_from(["c_1", "c_2"]),
    want=st.sampled_from([*["allow"] * 6, "one", "one", "two", "deny", "nothing"]),
    cents=st.sampled_from([1, 100, 100, 450, 900, 901]),
    micros=st.sampled_from([0, 0, 0, 300_000, 2_000_000]),
    dry_run=st.sampled_from([False, False, False, True]),
)
switches = st.sampled_from(
    [
        ("global", "", ""),
        ("tenant", "beta", ""),
        ("tool", "", "mail"),
        ("tool", "acme", "p*"),
        *[("agent", "acme", "bot1"), ("agent", "", "bot2"), ("run", "beta", "r1"), ("run", "", "r2")] * 2,
    ]
)
reports = st.builds(
    ReportedOutcome,
    st.sampled_from([status.value for status in OutcomeStatus]),
    st.sampled_from([None, None, 0, 500_000, 3_000_000]),
    st.sampled_from([None, None, 0, 100, 5_000]),
)
jumps = st.sampled_from([1, 61, 901, 3_601, 25 * 3_600, 31 * 24 * 3_600, -1, -600, -26 * 3_600]) | st.just("month")
replicas = st.integers(0, 1)
persons = st.sampled_from(sorted(PEOPLE))
tenants = st.sampled_from(["acme", "beta"])
places = st.integers(0, 1_000)
ways = st.sampled_from(["key", "name", "both", "at once", "late", "late", "stricter"])
"""How an approved action is repeated: with its key, with the id of the approval, or after its agent did other things or
the policy changed."""
