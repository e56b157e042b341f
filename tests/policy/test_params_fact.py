"""A params_schema of a draft that OPA reads otherwise needs a baseline that reads Placet's own check."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from placet.kernel.errors import PolicyInvalidError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.tenant_value_checks import value_problems
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import read_tree

SHIPPED = Path("rego/placet/baseline/schemas/schemas.rego")
OLDER = """package placet.baseline.schemas

# Does not read input.facts.params_schema.violations.
_match := json.match_schema({}, {"type": "object"})
"""
NEWEST = "https://json-schema.org/draft/2020-12/schema"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def write(rego_dir: Path, dialect: str | None, baseline: str | None = OLDER) -> None:
    schema = {"type": "object", **({"$schema": dialect} if dialect else {})}
    tools = json.dumps({"pay": {"params_schema": schema}})
    (rego_dir / "config/acme.yaml").write_text(f"agent_policy:\n  write_tools: [pay]\n  tools: {tools}\n")
    if baseline is not None:
        module = rego_dir / "placet/baseline/schemas/schemas.rego"
        module.parent.mkdir(parents=True)
        module.write_text(baseline)


def problems(rego_dir: Path, opa: Path) -> list[str]:
    tree = read_tree(rego_dir)
    return [str(problem).removeprefix(f"{rego_dir}/") for problem in value_problems(tree, parse_tenants(tree), opa)]


@pytest.mark.parametrize("baseline", [OLDER, None])
def test_a_draft_that_opa_does_not_enforce_is_refused(rego_dir: Path, opa: Path, baseline: str | None) -> None:
    write(rego_dir, NEWEST, baseline)
    [problem] = problems(rego_dir, opa)
    assert problem.startswith('config/acme.yaml:3: agent_policy.tools.pay.params_schema["$schema"]: ')
    assert "placet/baseline/schemas in this folder does not read facts.params_schema" in problem
    assert "copy placet/baseline/schemas" in problem


@pytest.mark.parametrize("dialect", [None, DRAFT_7])
def test_draft_7_is_taken_with_an_older_baseline(rego_dir: Path, opa: Path, dialect: str | None) -> None:
    write(rego_dir, dialect)
    assert problems(rego_dir, opa) == []


def test_every_draft_is_taken_with_the_shipped_baseline(rego_dir: Path, opa: Path) -> None:
    write(rego_dir, NEWEST, SHIPPED.read_text())
    assert problems(rego_dir, opa) == []


def test_such_a_folder_is_not_served(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    write(rego_dir, DRAFT_7)
    build_bundle(rego_dir, opa, tmp_path / "bundles")
    shutil.rmtree(rego_dir / "placet/baseline")
    write(rego_dir, NEWEST)
    with pytest.raises(PolicyInvalidError, match=r"does not read facts\.params_schema"):
        build_bundle(rego_dir, opa, tmp_path / "bundles")
