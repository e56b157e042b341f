"""`schemas/input.json` says what Placet sends to policy: no key more, no key less; and a misspelt one is found."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from placet.actions.document import canonical_request
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.clock import rfc3339
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.kernel.model import Action, Amount, DelegationHop, Evidence, Identity, Model, Run, ToolClass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEAST = (Action("crm.read", b"{}"), Identity("agent", "acme"), Run(), Model(), ())
CHAIN = (DelegationHop("boss", ("stripe.*",)),)
FULL = (
    Action(
        tool="stripe.refund",
        params=b'{"charge":"ch_1","deep":{"list":[1,null,"x"]}}',
        amount=Amount("USD", SAFE_INTEGER_MAX),
        scope="stripe:write",
        environment="production",
        destination="api.stripe.example",
        dry_run=True,
        tool_schema_version="7",
    ),
    Identity("agent", "acme", "u_4812", ("support", "support_refunds"), ("boss",), CHAIN),
    Run("run_1", "9f2d", 7, "refunds", "react"),
    Model("gpt-4.1", "p7", 812, 164, 4200),
    (Evidence("kb://1", "ab" * 32), Evidence("kb://2")),
)


OPTIONAL = {
    "/identity/delegation_chain",
    "/action/amount",
    "/facts/approval",
    "/facts/budgets/daily",
    "/facts/params_schema",
    "/facts/run",
    "/facts/tool/breaker",
    "/facts/tool/error_rate",
    "/facts/user",
}
BUDGET = {
    "limit": 100,
    "remaining": 1,
    "remaining_ratio": 0.01,
    "reserved": 9,
    "resets_at": "2026-04-25T00:00:00.000000Z",
    "used": 90,
    "warn": True,
}
COUNTED = {
    "approval": {"approvers": ["u_2"], "created_at": "2026-04-24T00:00:00.000000Z", "id": "apr_1", "quorum": 1},
    "budgets": {"daily": BUDGET},
    "params_schema": {"violations": [{"path": "params.id", "problem": "the value is too short"}]},
    "user": {"issuer": "https://id.example.com", "method": "token"},
    "run": {"calls": 3, "same_action_calls": None, "tokens": 900},
}


def built(parts: Any, tool_class: ToolClass, now_us: int) -> dict[str, Any]:
    facts = base_facts(tool_class)
    if parts is FULL:
        watched = {**facts["tool"], "breaker": "closed", "error_rate": 0.25}
        facts = {**facts, **COUNTED, "tool": watched}
    made: dict[str, Any] = json.loads(policy_input(canonical_request(*parts), facts, rfc3339(now_us)))
    return made


def faults(opa: Path, rego: Path, inputs: list[Any]) -> list[list[dict[str, str]]]:
    """What the schema finds wrong with each input, asked of OPA as policy would."""
    asked = {"inputs": inputs, "schema": json.loads((rego / "schemas/input.json").read_text())}
    query = "[json.match_schema(one, input.schema)[1] | some one in input.inputs]"
    ended = subprocess.run(
        [opa, "eval", "--format", "json", "--stdin-input", query],
        input=json.dumps(asked).encode(),
        check=True,
        capture_output=True,
    )
    found: list[list[dict[str, str]]] = json.loads(ended.stdout)["result"][0]["expressions"][0]["value"]
    return found


def keys_of_schema(schema: dict[str, Any], place: str = "") -> Iterator[str]:
    for key, below in schema.get("properties", schema.get("items", {}).get("properties", {})).items():
        yield f"{place}/{key}"
        yield from keys_of_schema(below, f"{place}/{key}")
    if place == "/facts/budgets":
        yield f"{place}/daily"
        yield from keys_of_schema(schema["additionalProperties"], f"{place}/daily")


def keys_of_input(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, dict) and place != "/action/params":
        for key, below in value.items():
            yield f"{place}/{key}"
            yield from keys_of_input(below, f"{place}/{key}")
    elif isinstance(value, list) and value:
        yield from keys_of_input(value[0], place)


def test_all_that_placet_builds_is_as_the_schema_says(opa: Path, rego: Path) -> None:
    made = [
        built(parts, cls, now) for parts in (LEAST, FULL) for cls in ToolClass for now in (0, 1_777_055_581_123_456)
    ]
    assert faults(opa, rego, made) == [[] for _ in made]


def test_the_schema_has_no_other_keys(rego: Path) -> None:
    schema = json.loads((rego / "schemas/input.json").read_text())
    assert set(keys_of_schema(schema)) == set(keys_of_input(built(FULL, ToolClass.WRITE, 0)))


def test_every_key_that_is_not_optional_is_always_there(rego: Path, opa: Path) -> None:
    full = built(FULL, ToolClass.WRITE, 0)
    places = sorted(set(keys_of_input(full)) - OPTIONAL)
    found = faults(opa, rego, [without(full, place) for place in places])
    assert {place for place, wrong in zip(places, found, strict=True) if not wrong} == set()


def test_an_unknown_key_is_wrong_everywhere_but_in_params(rego: Path, opa: Path) -> None:
    full = built(FULL, ToolClass.WRITE, 0)
    full["action"]["params"]["unknown"] = 1
    assert faults(opa, rego, [full]) == [[]]
    for part in ("action", "identity", "run", "model", "facts"):
        full[part]["unknown"] = 1
    assert len(faults(opa, rego, [full])[0]) == 5


def without(value: dict[str, Any], place: str) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(value))
    here: Any = copied
    *above, last = place.split("/")[1:]
    for key in above:
        here = here[key][0] if isinstance(here[key], list) else here[key]
    del here[last]
    return copied


def checked(rego: Path, opa: Path) -> subprocess.CompletedProcess[str]:
    options = ["--bundle", "--strict", "--schema", "schemas/input.json", "--capabilities", "capabilities.json"]
    return subprocess.run([opa, "check", *options, "."], cwd=rego, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("policy/refunds/refunds.rego", "input.action.amount.minor_units", "input.action.amount.minor_unit"),
        ("policy/tickets/tickets.rego", "input.action.scope", "input.action.scopes"),
        ("policy/deploys/deploys.rego", "input.now", "input.time"),
        ("placet/baseline/evidence/evidence.rego", "item.uri", "item.url"),
        ("placet/main/main.rego", "in input.batch", "in input.bach"),
    ],
)
def test_a_misspelt_field_is_found(rego: Path, opa: Path, tmp_path: Path, file: str, right: str, wrong: str) -> None:
    copy = tmp_path / "rego"
    shutil.copytree(rego, copy)
    (copy / file).write_text((rego / file).read_text().replace(right, wrong))
    ended = checked(copy, opa)
    assert ended.returncode != 0
    assert f'have: "{wrong.rpartition(".")[2]}"' in ended.stdout + ended.stderr


def test_the_schema_finds_nothing_in_the_shipped_policy(rego: Path, opa: Path) -> None:
    ended = checked(rego, opa)
    assert (ended.returncode, ended.stderr) == (0, "")
