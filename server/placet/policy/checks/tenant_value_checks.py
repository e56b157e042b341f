"""Check the values of tenant files that only OPA can check: glob patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from placet.kernel.diagnostics import DocumentDiagnostic
from placet.kernel.errors import ConfigurationError
from placet.kernel.exact_json import exact_json
from placet.matching.separated_globs import separated_glob_regex
from placet.policy.files.strict_yaml import read_yaml
from placet.policy.files.tenant_files import TOP_KEY, below, located
from placet.policy.files.tree import CONFIG
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.kernel.errors import Diagnostic
    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

_QUERY: Final = "{pattern | some pattern, expression in input; regex.is_valid(expression)}"
"""Returns the valid patterns. An invalid glob has an invalid regular expression."""


def value_problems(tree: PolicyTree, policies: Mapping[str, TenantPolicy], opa: Path) -> Iterator[Diagnostic]:
    """Yield each destination pattern that OPA cannot use.

    Raises ConfigurationError when OPA cannot be run or fails.
    """
    globs = {
        pattern: (tenant, tool)
        for tenant, policy in policies.items()
        for tool, patterns in policy.destinations.items()
        for pattern in patterns
    }
    if not globs:
        return
    valid = _evaluate(opa, {pattern: separated_glob_regex(pattern) for pattern in sorted(globs)})
    for pattern, (tenant, tool) in globs.items():
        if pattern not in valid:
            what = f'"{pattern}" is not a glob pattern'
            remedy = "known: * ** ? [a-z] {a,b}, and \\ before a character"
            yield _problem(tree, tenant, DocumentDiagnostic(("destinations", tool), what, remedy))


def _problem(tree: PolicyTree, tenant: str, diagnostic: DocumentDiagnostic) -> Diagnostic:
    name = f"{CONFIG}/{tenant}.yaml"
    document = read_yaml(tree.tenants[name], tree.where(name))
    return located(document, below(TOP_KEY, diagnostic))


def _evaluate(opa: Path, query_input: object) -> frozenset[str]:
    result = run(opa, ["eval", "--format", "json", "--stdin-input", _QUERY], stdin=exact_json(query_input))
    if result.exit_code != 0:
        raise ConfigurationError(f"{opa}: cannot check the tenants' destinations: {result.message}")
    return frozenset(orjson.loads(result.stdout)["result"][0]["expressions"][0]["value"])
