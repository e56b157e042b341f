"""Documents and digests of a request do not depend on how often its parts are serialised."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from placet.actions.canonical_json import canonical, digest
from placet.actions.document import action_binding, canonical_forms
from placet.kernel.model import Action, Amount, DelegationHop, Evidence, Identity, Model, Run

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COUNTS = st.integers(0, 2**53 - 1)
NAMES = st.lists(TEXTS, max_size=3).map(tuple)
PARAMS = st.dictionaries(TEXTS, st.none() | TEXTS | COUNTS | st.lists(TEXTS), max_size=3).map(canonical)
ACTIONS = st.builds(
    Action,
    tool=TEXTS,
    params=PARAMS,
    amount=st.none() | st.builds(Amount, TEXTS, COUNTS),
    scope=TEXTS,
    environment=TEXTS,
    destination=TEXTS,
    dry_run=st.booleans(),
    tool_schema_version=TEXTS,
)
CHAINS = st.just(()) | st.lists(st.builds(DelegationHop, TEXTS, NAMES, TEXTS), max_size=2).map(tuple)
IDENTITIES = st.builds(
    Identity, agent=TEXTS, tenant=TEXTS, user=TEXTS, roles=NAMES, delegation=NAMES, delegation_chain=CHAINS
)
RUNS = st.builds(Run, run_id=TEXTS, trace_id=TEXTS, step=COUNTS, workflow=TEXTS, planner=TEXTS)
MODELS = st.builds(
    Model, name=TEXTS, prompt_version=TEXTS, input_tokens=COUNTS, output_tokens=COUNTS, estimated_cost_micros=COUNTS
)
EVIDENCE = st.lists(st.builds(Evidence, uri=TEXTS, sha256=TEXTS), max_size=2).map(tuple)


def as_documented(action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]) -> Any:
    """Return the whole request as one value, built as the audit format describes it."""
    amount = action.amount
    hops = [
        {"principal": hop.principal, "scopes": hop.scopes, "proven_by": hop.proven_by}
        for hop in identity.delegation_chain
    ]
    return {
        "action": {
            "tool": action.tool,
            "params": orjson.Fragment(action.params),
            "scope": action.scope,
            "environment": action.environment,
            "destination": action.destination,
            "dry_run": action.dry_run,
            "tool_schema_version": action.tool_schema_version,
            **(
                {"amount": {"currency_code": amount.currency_code, "minor_units": amount.minor_units}} if amount else {}
            ),
        },
        "identity": {
            "agent": identity.agent,
            "tenant": identity.tenant,
            "user": identity.user,
            "roles": list(identity.roles),
            "delegation": list(identity.delegation),
            **({"delegation_chain": hops} if hops else {}),
        },
        "run": {
            "run_id": run.run_id,
            "trace_id": run.trace_id,
            "step": run.step,
            "workflow": run.workflow,
            "planner": run.planner,
        },
        "model": {
            "name": model.name,
            "prompt_version": model.prompt_version,
            "input_tokens": model.input_tokens,
            "output_tokens": model.output_tokens,
            "estimated_cost_micros": model.estimated_cost_micros,
        },
        "evidence": [{"uri": item.uri, "sha256": item.sha256} for item in evidence],
    }


@given(ACTIONS, IDENTITIES, RUNS, MODELS, EVIDENCE)
def test_document_and_digests(
    action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]
) -> None:
    """Sorting and serialising the whole value at once gives the same bytes, so digests of older versions stay valid."""
    whole = as_documented(action, identity, run, model, evidence)
    forms = canonical_forms(action, identity, run, model, evidence)
    assert forms.document == orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
    bound = dict(whole["identity"])
    if identity.delegation_chain:  # whoever verifies a permit knows the hops, but not who proved them
        bound["delegation_chain"] = [
            {"principal": hop.principal, "scopes": hop.scopes} for hop in identity.delegation_chain
        ]
    binding = {"action": whole["action"], "identity": bound, "run_id": run.run_id}
    assert action_binding(action, identity, run) == orjson.dumps(binding, option=orjson.OPT_SORT_KEYS)
    assert forms.action_digest == digest(orjson.dumps(binding, option=orjson.OPT_SORT_KEYS))
    repeated = {
        **whole,
        "model": {name: whole["model"][name] for name in ("name", "prompt_version")},
        "run": {name: whole["run"][name] for name in ("planner", "run_id", "workflow")},
    }
    assert forms.request_digest == digest(orjson.dumps(repeated, option=orjson.OPT_SORT_KEYS))


@given(ACTIONS, IDENTITIES, RUNS, MODELS, EVIDENCE)
def test_what_is_screened_is_part_of_the_document(
    action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]
) -> None:
    document = orjson.loads(canonical_forms(action, identity, run, model, evidence).document)
    forms = canonical_forms(action, identity, run, model, evidence)
    for part in ("action", "evidence", "model"):
        assert orjson.dumps(document[part]) in forms.screened
