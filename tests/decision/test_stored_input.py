"""What is stored of the policy input: all of it, or a part with the reason why it cannot be evaluated again."""

from __future__ import annotations

import orjson

from placet.actions.document import canonical_request
from placet.decision.policy_input import base_facts, policy_input
from placet.decision.redaction import REDACTED, StoredInput, redacted_input
from placet.kernel.limits import SCREEN_PLACES_MAX
from placet.kernel.model import ToolClass
from placet.kernel.steps import exhausted
from placet.privacy.redaction import WHY_WHOLE
from tests.support.builders import policy, proposal
from tests.support.replacing import replace

NOW = "2026-04-24T10:00:00Z"


def stored(params: object) -> tuple[bytes, StoredInput]:
    """Return the input that policy sees, and what is stored of it."""
    bare = proposal(params=params)
    document = canonical_request(bare.action, bare.identity, bare.run, bare.model, bare.evidence)
    proposed = replace(bare, document=document)
    original = policy_input(proposed.document, base_facts(ToolClass.WRITE), NOW)
    return original, exhausted(redacted_input(original, proposed, policy()))


def test_without_sensitive_values_the_input_is_stored_as_it_is() -> None:
    original, kept = stored({"note": "hello"})
    assert kept == StoredInput(original)


def test_sensitive_values_are_replaced_and_the_reason_says_so() -> None:
    _, kept = stored({"note": "ada@example.com", "other": "hello"})
    assert orjson.loads(kept.document)["action"]["params"] == {"note": "[redacted:email]", "other": "hello"}
    assert (kept.why_not, kept.replayable) == (REDACTED, False)


def test_violations_of_the_schema_are_not_stored_when_the_params_are_redacted() -> None:
    """They quote the names of members, which the caller chooses."""
    bare = proposal(params={"ada@example.com": 1})
    document = canonical_request(bare.action, bare.identity, bare.run, bare.model, bare.evidence)
    facts = base_facts(ToolClass.WRITE)
    facts["params_schema"] = {"violations": [{"path": "params", "problem": "'ada@example.com' was unexpected"}]}
    original = policy_input(document, facts, NOW)
    kept = exhausted(redacted_input(original, replace(bare, document=document), policy()))
    assert b"ada@" not in kept.document
    stored_facts = orjson.loads(kept.document)["facts"]
    assert stored_facts["params_schema"] == {"omitted": "[redacted:unscreened]"}
    assert stored_facts["tool"] == facts["tool"]


def test_violations_without_sensitive_names_are_stored() -> None:
    bare = proposal(params={"colour": 1})
    document = canonical_request(bare.action, bare.identity, bare.run, bare.model, bare.evidence)
    facts = base_facts(ToolClass.WRITE)
    facts["params_schema"] = {"violations": [{"path": "params", "problem": "'colour' was unexpected"}]}
    original = policy_input(document, facts, NOW)
    assert exhausted(redacted_input(original, replace(bare, document=document), policy())) == StoredInput(original)


def test_an_input_with_too_many_places_to_examine_loses_its_texts_and_says_why() -> None:
    _, kept = stored({"note": "a@b.example " * (SCREEN_PLACES_MAX + 1)})
    document = orjson.loads(kept.document)
    assert document["action"]["params"] == {"omitted": "[redacted:unscreened]"}
    assert document["identity"]["tenant"] == "acme"
    assert kept.why_not == f"{REDACTED}; it holds {WHY_WHOLE}"
