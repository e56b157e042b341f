"""Strategies of all valid requests, and of verdicts about them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from placet.actions.destinations import destination_error
from placet.kernel.limits import SAFE_INTEGER_MAX, STEP_MAX
from placet.kernel.model import Effect, Finding, Verdict
from placet.kernel.money import EXPONENTS
from placet.matching.names import name_error
from placet.v1 import authorization_pb2
from tests.support.fakes import REVISION, verdict

printable = st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S"))
labels = st.text(printable, max_size=16)
names = st.text(printable, min_size=1, max_size=16)
members = names.filter(lambda name: not name_error(name))
"""Names of agents, users and workflows that validation accepts."""
counts = st.integers(0, SAFE_INTEGER_MAX)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=5)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)

messages = st.fixed_dictionaries(
    {
        "idempotency_key": st.uuids().map(str),
        "action": st.fixed_dictionaries(
            {
                "tool": st.sampled_from(["look", "pay", "nothing.such"]),
                "params": json_objects,
                "amount": st.none()
                | st.fixed_dictionaries({"currency_code": st.sampled_from(sorted(EXPONENTS)), "minor_units": counts}),
                "scope": labels,
                "environment": labels,
                "destination": labels.filter(lambda text: not destination_error(text)),
                "dry_run": st.booleans(),
                "tool_schema_version": labels,
            }
        ),
        "identity": st.fixed_dictionaries(
            {
                "agent": members,
                "tenant": st.sampled_from(["open", "acme", "initech"]),
                "user": st.just("") | members,
                "roles": st.lists(members, max_size=4),
                "delegation": st.lists(members, max_size=3),
            }
        ),
        "run": st.fixed_dictionaries(
            {
                "run_id": st.just("") | members,
                "trace_id": labels,
                "step": st.integers(0, STEP_MAX),
                "workflow": st.just("") | members,
                "planner": labels,
            }
        ),
        "model": st.fixed_dictionaries(
            {
                "name": labels,
                "prompt_version": labels,
                "input_tokens": counts,
                "output_tokens": counts,
                "estimated_cost_micros": counts,
            }
        ),
        "evidence": st.lists(
            st.fixed_dictionaries({"uri": names, "sha256": st.just("") | digests}),
            max_size=3,
        ),
    }
)
"""Requests as documents; `message_of` converts them to messages."""

effects = st.sampled_from(list(Effect))
rule_ids = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,6}(\.[a-z0-9_]{1,6})?", fullmatch=True)
findings = st.lists(st.builds(Finding, effects, rule_ids, st.just("because")), max_size=5).map(tuple)
honest = findings.map(lambda drawn: verdict(*drawn))
"""Verdicts that the shipped main package can return."""
lying = st.builds(Verdict, effects, rule_ids, findings, st.just(REVISION))
"""Verdicts that no engine should return."""


def message_of(document: dict[str, Any]) -> authorization_pb2.AuthorizeRequest:
    """Return the message of a document."""
    action = {key: value for key, value in document["action"].items() if key not in {"params", "amount"}}
    message = authorization_pb2.AuthorizeRequest(
        idempotency_key=document["idempotency_key"],
        action={**action, "params_json": json.dumps(document["action"]["params"])},
        identity=document["identity"],
        run=document["run"],
        model=document["model"],
        evidence=document["evidence"],
    )
    if document["action"]["amount"] is not None:
        message.action.amount.currency_code = document["action"]["amount"]["currency_code"]
        message.action.amount.minor_units = document["action"]["amount"]["minor_units"]
    return message


def seen_by_policy(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the policy input that comes from the caller."""
    action = {key: value for key, value in document["action"].items() if key != "amount"}
    if document["action"]["amount"] is not None:
        action["amount"] = document["action"]["amount"]
    return {
        "action": action,
        "identity": {**document["identity"], "roles": sorted(set(document["identity"]["roles"]))},
        "run": document["run"],
        "model": document["model"],
        "evidence": document["evidence"],
    }
