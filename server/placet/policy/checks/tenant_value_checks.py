"""Check the values of tenant files that depend on OPA or on the policy folder.

OPA says whether a glob pattern is valid. A folder whose baseline asks OPA about params enforces only draft 7.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import orjson

from placet.kernel.diagnostics import DocumentDiagnostic
from placet.kernel.errors import ConfigurationError
from placet.kernel.exact_json import exact_json
from placet.matching.separated_globs import separated_glob_regex
from placet.policy.files.strict_yaml import read_yaml
from placet.policy.files.tenant_files import TOP_KEY, below, located
from placet.policy.files.tree import CONFIG
from placet.policy.rego.tokens import tokens
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.kernel.errors import Diagnostic
    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

_QUERY: Final = "{pattern | some pattern, expression in input; regex.is_valid(expression)}"
"""Returns the valid patterns. An invalid glob has an invalid regular expression."""

_BASELINE: Final = "placet/baseline/schemas"
_FACT: Final = ["facts", ".", "params_schema"]
_DRAFT_OF_OPA: Final = "/draft-07/"
"""Part of the `$schema` of the draft in which ``json.match_schema`` of OPA knows every keyword. It ignores those of
later drafts."""


def value_problems(tree: PolicyTree, policies: Mapping[str, TenantPolicy], opa: Path) -> Iterator[Diagnostic]:
    """Yield each params_schema that the folder does not enforce, and each destination pattern that OPA cannot use.

    Raises ConfigurationError when OPA cannot be run or fails.
    """
    yield from _schema_problems(tree, policies)
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


def _schema_problems(tree: PolicyTree, policies: Mapping[str, TenantPolicy]) -> Iterator[Diagnostic]:
    """Yield each params_schema of a draft that OPA reads otherwise, unless the baseline reads Placet's own check."""
    if _reads_params_fact(tree):
        return
    for tenant, policy in policies.items():
        for tool, spec in policy.tools.items():
            dialect = (spec.params_schema or {}).get("$schema", _DRAFT_OF_OPA)
            if _DRAFT_OF_OPA not in str(dialect):
                place = ("tools", tool, "params_schema", "$schema")
                what = f"{_BASELINE} in this folder does not read {'.'.join(_FACT[::2])}, so it enforces only draft 7"
                remedy = f"copy {_BASELINE} from the policy that Placet ships, or write the schema in draft 7"
                yield _problem(tree, tenant, DocumentDiagnostic(place, what, remedy))


def _reads_params_fact(tree: PolicyTree) -> bool:
    """Return whether a module of the baseline's package names ``facts.params_schema``."""
    for name, content in tree.modules.items():
        if str(PurePosixPath(name).parent) == _BASELINE:
            texts = [token.text for token in tokens(content.decode(errors="replace"))]
            if any(texts[index : index + len(_FACT)] == _FACT for index in range(len(texts))):
                return True
    return False


def _problem(tree: PolicyTree, tenant: str, diagnostic: DocumentDiagnostic) -> Diagnostic:
    name = f"{CONFIG}/{tenant}.yaml"
    document = read_yaml(tree.tenants[name], tree.where(name))
    return located(document, below(TOP_KEY, diagnostic))


def _evaluate(opa: Path, query_input: object) -> frozenset[str]:
    result = run(opa, ["eval", "--format", "json", "--stdin-input", _QUERY], stdin=exact_json(query_input))
    if result.exit_code != 0:
        raise ConfigurationError(f"{opa}: cannot check the tenants' destinations: {result.message}")
    return frozenset(orjson.loads(result.stdout)["result"][0]["expressions"][0]["value"])
