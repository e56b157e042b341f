"""Approvals that rules ask for: whether the details can be believed, and whether enough people could give them.

Looked at without any request, so only what does not depend on one is known: details written out in the rule (or bound
to a variable that its body sets to an object), whose values are constants or come from data and the tenant alone, such
as ``lib.pack_config``. Which tools a rule is about is read from ``input.action.tool == "..."`` or ``in {...}``, and
which tenants from ``input.identity.tenant == "..."``, in its body or in a rule of its package that the body names. What
is not known so is left to the decision: there it is a deny, `pdp.answer_invalid`. What several rules ask for at once is
not looked at.
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
from placet.policy.checks.literal_details import written_details
from placet.policy.files.staging import staged, tenants_document
from placet.policy.rego.rule_scope import RuleScope
from placet.policy.rego.syntax import constant_of
from placet.policy.toolchain.process import first_line, run
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
_MISSPELT_MIN: Final = 0.75
"""Likeness above which another key of the details is taken for a misspelling."""
_PROBE: Final = "_placet_probe"
"""Begins the names of rules that are added to a copy of the policy, to have values computed."""


@dataclass(frozen=True, slots=True)
class AskedApproval:
    """What one rule asks for: the terms of its details by key, those that an approval is made of."""

    module: Module
    rule: Rule
    terms: Mapping[str, Node]

    @property
    def rule_id(self) -> str:
        """The rule's own."""
        return str(self.rule.rule_id)


def shape_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Approvals without quorum or roles, and keys that are probably misspelt."""
    for module, rule, keys in _written_out(modules):
        where = tree.where(module.file, rule.line)
        others = [key for key in keys if key not in APPROVAL_DETAILS]
        for name in _REQUIRED:
            if name not in keys:
                what = f"{rule.rule_id} asks for an approval without {name}, which would be a deny"
                near = closest(name, others)
                yield Diagnostic(
                    where, what, f"did you mean {name}, not {near}?" if near else f"add {name} to its details"
                )
        for key in others:
            near = closest(key, [name for name in APPROVAL_DETAILS if name not in keys], _MISSPELT_MIN)
            if near and near not in _REQUIRED:
                yield Diagnostic(where, f"{rule.rule_id} says {key}, which nothing reads", f"did you mean {near}?")


def reach_problems(
    tree: PolicyTree, policies: Mapping[str, TenantPolicy], modules: Sequence[Module], opa: Path
) -> Iterator[Diagnostic]:
    """Approvals that no decision could ask for, and those that no people of a tenant could give."""
    asked = [
        AskedApproval(module, rule, {key: term for key, term in keys.items() if key in APPROVAL_DETAILS})
        for module, rule, keys in _written_out(modules)
    ]
    computed = _computed(tree, policies, asked, modules, opa)
    for index, approval in enumerate(asked):
        scope = RuleScope(approval.module, modules)
        concerned = scope.tenants(approval.rule)
        tools = scope.tools(approval.rule)
        told: set[str] = set()
        for tenant, policy in policies.items():
            reached = tools is None or any(tool in policy.compiled.classes for tool in tools)
            if not reached or (concerned is not None and tenant not in concerned):
                continue
            known = {key: values[tenant] for key, values in computed[index].items()}
            where = tree.where(approval.module.file, approval.rule.line)
            for problem in _tenant_problems(where, approval, known, tenant, policy):
                if problem.what not in told:
                    told.add(problem.what)
                    yield problem


def _tenant_problems(
    where: str, approval: AskedApproval, known: Mapping[str, Any], tenant: str, policy: TenantPolicy
) -> Iterator[Diagnostic]:
    """What is wrong with an approval for one tenant; `known` are those of its values that are known."""
    details: dict[str, Any] = {"quorum": 1, "approver_roles": [], **known}
    if "approver_roles" not in known and details.get("distinct_roles") is True:
        return  # whether there are roles enough is not known
    try:
        wanted = approval_for([Finding(Effect.REQUIRE_APPROVAL, approval.rule_id, "", details)])
    except NoApprovalError as error:
        constant = known.keys() <= _constants(approval).keys()
        yield Diagnostic(where, f"{error}" + ("" if constant else f" (tenant {tenant})"), _remedy(approval, tenant))
        return
    form = Approval.model_construct(
        quorum=wanted.quorum, approver_roles=wanted.approver_roles, distinct_roles=wanted.distinct_roles
    )
    for fault in quorum_diagnostics(policy.approver_groups, form, ()):
        what = f"{approval.rule_id} asks tenant {tenant} for an approval that cannot be given: {fault.what}"
        yield Diagnostic(where, what, fault.remedy or _remedy(approval, tenant))


def _remedy(approval: AskedApproval, tenant: str) -> str:
    return f"correct the details, or packs.{approval.module.pack} of config/{tenant}.yaml"


def _written_out(modules: Sequence[Module]) -> Iterator[tuple[Module, Rule, Mapping[str, Node]]]:
    """Each require_approval whose details are an object written out with constant keys, and the terms by key."""
    return written_details(modules, {Effect.REQUIRE_APPROVAL.value})


def _constants(approval: AskedApproval) -> dict[str, Any]:
    """Values that are written as constants."""
    found = {}
    for key, term in approval.terms.items():
        value = constant_of(term)
        if value is not None:
            found[key] = value[0]
    return found


def _computed(
    tree: PolicyTree,
    policies: Mapping[str, TenantPolicy],
    asked: Sequence[AskedApproval],
    modules: Sequence[Module],
    opa: Path,
) -> list[dict[str, dict[str, Any]]]:
    """For each approval, by key and tenant, the values that are known; null for one that is undefined."""
    probes: dict[str, tuple[int, str, str]] = {}  # name -> approval, key, text
    found: list[dict[str, dict[str, Any]]] = []
    for index, approval in enumerate(asked):
        constants = _constants(approval)
        found.append({key: dict.fromkeys(policies, value) for key, value in constants.items()})
        scope = RuleScope(approval.module, modules)
        for key, term in approval.terms.items():
            if key not in constants and scope.depends_only_on_tenant(approval.rule, term):
                text = base64.b64decode(term["location"]["text"]).decode()
                probes[f"{_PROBE}_{len(probes)}"] = (index, key, text)
    for name, values in _evaluated(tree, policies, asked, probes, opa).items():
        index, key, _ = probes[name]
        found[index][key] = {tenant: values.get(tenant) for tenant in policies}
    return found


def _evaluated(
    tree: PolicyTree,
    policies: Mapping[str, TenantPolicy],
    asked: Sequence[AskedApproval],
    probes: Mapping[str, tuple[int, str, str]],
    opa: Path,
) -> dict[str, dict[str, Any]]:
    """Let OPA compute each probe for each tenant, in one run, with rules added to a copy of the policy."""
    if not probes:
        return {}
    modules = dict(tree.modules)
    queries = []
    for name, (index, _, text) in probes.items():
        module = asked[index].module
        modules[module.file] += f"\n{name} := {text}\n".encode()
        path = ".".join(("data", *module.package, name))
        value = f'v := {path} with input as {{"identity": {{"tenant": t}}}}'
        queries.append(f'"{name}": {{t: v | some t, _ in data.tenants; {value}}}')
    copy = replace(tree, modules=modules)
    with staged(copy, tests=False, tenants=tenants_document(policies)) as stage:
        ended = run(opa, ["eval", "--bundle", ".", "--format", "raw", f"{{{', '.join(queries)}}}"], cwd=stage)
    if ended.exit_code != 0:
        raise ConfigurationError(
            f"{opa}: cannot compute what rules ask for: {first_line(ended.stderr or ended.stdout)}"
        )
    values: dict[str, dict[str, Any]] = orjson.loads(ended.stdout)
    return values
