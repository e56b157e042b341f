"""Values in the tenants' files that only OPA itself can judge: JSON Schemas and glob patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from placet.kernel.diagnostics import DocumentDiagnostic
from placet.kernel.errors import ConfigurationError
from placet.matching.separated_globs import separated_glob_regex
from placet.policy.files.staging import exact_json
from placet.policy.files.strict_yaml import read_yaml
from placet.policy.files.tenant_files import TOP_KEY, below, located
from placet.policy.files.tree import CONFIG
from placet.policy.toolchain.process import first_line, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.kernel.errors import Diagnostic
    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

_QUERY: Final = """{
    "schemas": {name: verdict | some name, schema in input.schemas; verdict := json.verify_schema(schema)},
    "globs": {pattern | some pattern, expression in input.globs; regex.is_valid(expression)},
}"""
"""A glob that is none becomes an expression that is none, so it is missing in the answer."""


def value_problems(tree: PolicyTree, policies: Mapping[str, TenantPolicy], opa: Path) -> Iterator[Diagnostic]:
    """Ask OPA whether every params_schema and every destination pattern is one that it can use."""
    schemas = {
        f"{tenant} {tool}": (tenant, tool, spec.params_schema)
        for tenant, policy in policies.items()
        for tool, spec in policy.tools.items()
        if spec.params_schema is not None
    }
    globs = {
        pattern: (tenant, tool)
        for tenant, policy in policies.items()
        for tool, patterns in policy.destinations.items()
        for pattern in patterns
    }
    if not schemas and not globs:
        return
    asked = {
        "schemas": {name: schema for name, (_, _, schema) in schemas.items()},
        "globs": {pattern: separated_glob_regex(pattern) for pattern in sorted(globs)},
    }
    answer = _ask(opa, asked)
    for name, (tenant, tool, _) in schemas.items():
        valid, message = answer["schemas"].get(name, (False, "OPA cannot read it"))
        if not valid:
            what = str(message).removeprefix("jsonschema: ")
            fault = DocumentDiagnostic(("tools", tool, "params_schema"), what, "OPA must be able to check params by it")
            yield _problem(tree, tenant, fault)
    for pattern, (tenant, tool) in globs.items():
        if pattern not in answer["globs"]:
            what = f'"{pattern}" is no glob pattern'
            fault = DocumentDiagnostic(
                ("destinations", tool), what, "known: * ** ? [a-z] {a,b}, and \\ before a character"
            )
            yield _problem(tree, tenant, fault)


def _problem(tree: PolicyTree, tenant: str, fault: DocumentDiagnostic) -> Diagnostic:
    name = f"{CONFIG}/{tenant}.yaml"
    document = read_yaml(tree.tenants[name], tree.where(name))
    return located(document, below(TOP_KEY, fault))


def _ask(opa: Path, document: object) -> dict[str, dict[str, tuple[bool, object]]]:
    ended = run(opa, ["eval", "--format", "json", "--stdin-input", _QUERY], stdin=exact_json(document))
    if ended.exit_code != 0:
        raise ConfigurationError(
            f"{opa}: cannot judge the tenants' schemas: {first_line(ended.stderr or ended.stdout)}"
        )
    answer: dict[str, dict[str, tuple[bool, object]]] = orjson.loads(ended.stdout)["result"][0]["expressions"][0][
        "value"
    ]
    return answer
