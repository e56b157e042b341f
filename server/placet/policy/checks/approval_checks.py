"""Check the approvals that rules require: their details, and whether the people of each tenant can give them.

The checks run without a request, so they use only what does not depend on one:

- details that are literal, in the call of `finding` or assigned to a variable in the body;
- values in them that are constants, or depend only on data and the tenant, such as ``lib.pack_config``;
- the tools and tenants that the rule compares with constants, see `placet.policy.rego.rule_scope`.

Everything else is checked when a decision is made, where invalid details are a deny by `pdp.answer_invalid`. Approvals
that several rules require together are not checked.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.decision.combining import APPROVAL_DETAILS, NoApprovalError, approval_for
from placet.kernel.diagnostics import closest
from placet.kernel.errors import ConfigurationError, Diagnostic
from placet.kernel.model import Effect, Finding
from placet.policy.checks.literal_details import rules_with_literal_details, unread_key
from placet.policy.files.staging import staged, tenants_document
from placet.policy.rego.rule_scope import RuleScope
from placet.policy.rego.syntax import constant_of
from placet.policy.toolchain.process import run
from placet.tenants.quorums import quorum_diagnostics
from placet.tenants.sections import Approval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node
    from placet.tenants.policy import TenantPolicy

_REQUIRED: Final = ("quorum", "approver_roles")
_EFFECT: Final = frozenset({Effect.REQUIRE_APPROVAL.value})
_MISSPELT_MIN: Final = 0.75
"""Similarity from which another key of the details counts as a misspelling."""
_PROBE: Final = "_placet_probe"
"""Prefix of the rules that are added to a copy of the policy, so that OPA evaluates a term of the details."""


@dataclass(frozen=True, slots=True)
class RequiredApproval:
    """The approval that one rule requires: what can be known of it without tenants."""

    file: str
    line: int
    package: tuple[str, ...]
    pack: str
    rule_id: str
    constants: Mapping[str, Any]  # the constant details, by key; only keys in APPROVAL_DETAILS
    by_tenant: Mapping[str, str]  # the Rego of the details that depend only on data and the tenant, by key
    tools: frozenset[str] | None  # that the rule applies to; None when they are unknown
    tenants: frozenset[str] | None  # likewise


@dataclass(frozen=True, slots=True)
class _Probe:
    """A term of the details that OPA evaluates for each tenant."""

    approval_index: int
    key: str
    text: str  # Rego


def required_approvals(modules: Sequence[Module]) -> tuple[RequiredApproval, ...]:
    """Return the approvals that the rules of packs require with literal details."""
    scopes = {module.file: RuleScope(module, modules) for module in modules}
    return tuple(
        _required_approval(module, rule, terms, scopes[module.file])
        for module, rule, terms in rules_with_literal_details(modules, _EFFECT)
    )


def _required_approval(module: Module, rule: Rule, terms: Mapping[str, Node], scope: RuleScope) -> RequiredApproval:
    read = {key: term for key, term in terms.items() if key in APPROVAL_DETAILS}
    values = {key: constant_of(term) for key, term in read.items()}
    constants = {key: value[0] for key, value in values.items() if value is not None}
    by_tenant = {
        key: base64.b64decode(term["location"]["text"]).decode()
        for key, term in read.items()
        if key not in constants and scope.depends_only_on_tenant(rule, term)
    }
    return RequiredApproval(
        file=module.file,
        line=rule.line,
        package=module.package,
        pack=module.pack,
        rule_id=str(rule.rule_id),
        constants=constants,
        by_tenant=by_tenant,
        tools=scope.tools(rule),
        tenants=scope.tenants(rule),
    )


def shape_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield approvals without quorum or roles, and keys of their details that are probably misspelt."""
    for module, rule, terms in rules_with_literal_details(modules, _EFFECT):
        where = tree.where(module.file, rule.line)
        others = [key for key in terms if key not in APPROVAL_DETAILS]
        for name in _REQUIRED:
            if name not in terms:
                what = f"{rule.rule_id} requires an approval without {name}, so the decision would be a deny"
                near = closest(name, others)
                remedy = f"did you mean {name}, not {near}?" if near else f"add {name} to its details"
                yield Diagnostic(where, what, remedy)
        for key in others:
            near = closest(key, [name for name in APPROVAL_DETAILS if name not in terms], _MISSPELT_MIN)
            if near and near not in _REQUIRED:
                yield unread_key(where, rule, key, near)


def reach_problems(
    tree: PolicyTree, policies: Mapping[str, TenantPolicy], approvals: Sequence[RequiredApproval], opa: Path
) -> Iterator[Diagnostic]:
    """Yield approvals with invalid details, and those that the people of a tenant cannot give.

    Raises ConfigurationError when OPA cannot be run or fails.
    """
    known_values = _known_values(tree, policies, approvals, opa)
    for approval, by_key in zip(approvals, known_values, strict=True):
        where = tree.where(approval.file, approval.line)
        reported: set[str] = set()
        for tenant, policy in policies.items():
            has_tool = approval.tools is None or any(tool in policy.compiled.classes for tool in approval.tools)
            if not has_tool or (approval.tenants is not None and tenant not in approval.tenants):
                continue
            known = {key: by_tenant[tenant] for key, by_tenant in by_key.items()}
            for problem in _tenant_problems(where, approval, known, tenant, policy):
                if problem.what not in reported:
                    reported.add(problem.what)
                    yield problem


def _tenant_problems(
    where: str, approval: RequiredApproval, known: Mapping[str, Any], tenant: str, policy: TenantPolicy
) -> Iterator[Diagnostic]:
    """Yield the problems of an approval for one tenant. `known` has the values of its details that are known."""
    details: dict[str, Any] = {"quorum": 1, "approver_roles": [], **known}
    if "approver_roles" not in known and details.get("distinct_roles") is True:
        return  # it is unknown whether there are enough roles
    try:
        requirement = approval_for([Finding(Effect.REQUIRE_APPROVAL, approval.rule_id, "", details)])
    except NoApprovalError as error:
        is_constant = known.keys() <= approval.constants.keys()
        what = f"{error}" + ("" if is_constant else f" (tenant {tenant})")
        yield Diagnostic(where, what, _remedy(approval, tenant))
        return
    section = Approval.model_construct(
        quorum=requirement.quorum,
        approver_roles=requirement.approver_roles,
        distinct_roles=requirement.distinct_roles,
    )
    for diagnostic in quorum_diagnostics(policy.approver_groups, section, ()):
        what = f"{approval.rule_id} requires an approval that tenant {tenant} cannot give: {diagnostic.what}"
        yield Diagnostic(where, what, diagnostic.remedy or _remedy(approval, tenant))


def _remedy(approval: RequiredApproval, tenant: str) -> str:
    return f"correct the details, or packs.{approval.pack} of config/{tenant}.yaml"


def _known_values(
    tree: PolicyTree, policies: Mapping[str, TenantPolicy], approvals: Sequence[RequiredApproval], opa: Path
) -> list[dict[str, dict[str, Any]]]:
    """Return for each approval the values of its details that are known, by key and tenant; None for undefined."""
    known = [
        {key: dict.fromkeys(policies, value) for key, value in approval.constants.items()} for approval in approvals
    ]
    found = [
        _Probe(index, key, text) for index, approval in enumerate(approvals) for key, text in approval.by_tenant.items()
    ]
    probes = {f"{_PROBE}_{number}": probe for number, probe in enumerate(found)}
    for name, values in _evaluate(tree, policies, approvals, probes, opa).items():
        probe = probes[name]
        known[probe.approval_index][probe.key] = {tenant: values.get(tenant) for tenant in policies}
    return known


def _evaluate(
    tree: PolicyTree,
    policies: Mapping[str, TenantPolicy],
    approvals: Sequence[RequiredApproval],
    probes: Mapping[str, _Probe],
    opa: Path,
) -> dict[str, dict[str, Any]]:
    """Evaluate each probe for each tenant, in one run of OPA, as a rule that is added to a copy of the policy.

    Returns the values by name of the probe and tenant, without those that are undefined.
    """
    if not probes:
        return {}
    modules = dict(tree.modules)
    queries = []
    for name, probe in probes.items():
        approval = approvals[probe.approval_index]
        modules[approval.file] += f"\n{name} := {probe.text}\n".encode()
        path = ".".join(("data", *approval.package, name))
        value = f'v := {path} with input as {{"identity": {{"tenant": t}}}}'
        queries.append(f'"{name}": {{t: v | some t, _ in data.tenants; {value}}}')
    copy = replace(tree, modules=modules)
    with staged(copy, tests=False, tenants=tenants_document(policies)) as stage:
        result = run(opa, ["eval", "--bundle", ".", "--format", "raw", f"{{{', '.join(queries)}}}"], cwd=stage)
    if result.exit_code != 0:
        raise ConfigurationError(f"{opa}: cannot evaluate the approvals that rules require: {result.message}")
    values: dict[str, dict[str, Any]] = orjson.loads(result.stdout)
    return values
