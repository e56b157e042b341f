"""Check packages, rules and data for what OPA accepts but Placet would lose, misread or not be able to name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.diagnostics import closest
from placet.kernel.errors import Diagnostic
from placet.kernel.limits import REASON_CHARS_MAX, RULE_ID_CHARS_MAX
from placet.kernel.model import Effect
from placet.kernel.rule_ids import OWN_PREFIXES, RETIRED, RULE_ID_PATTERN, is_reserved
from placet.policy.files.staging import COMPILED, TENANTS
from placet.policy.rego.modules import PACK_ROOTS, Module, Rule

if TYPE_CHECKING:
    from placet.policy.files.tree import PolicyTree

EFFECT_SETS: Final = tuple(effect.value for effect in Effect)
"""The sets that the package `placet.main` collects from every pack."""
MAIN_PACKAGE: Final = ("placet", "main")
_PACK_FOLDERS: Final = " or ".join("/".join(root) + "/<pack>" for root in PACK_ROOTS)
_RESERVED: Final = f"choose another: {', '.join(OWN_PREFIXES)} and some of approvals. are reserved"
_FINDING_FORM: Final = "{} contains finding(rego.metadata.rule(), {{...}}) if {{ ... }}"


def rule_problems(tree: PolicyTree, modules: Iterable[Module]) -> Iterator[Diagnostic]:
    """Yield the problems of packages, of rules and their METADATA, and of data in places where rules belong."""
    modules = tuple(modules)
    yield from _data_problems(tree)
    if not any(module.package == MAIN_PACKAGE for module in modules):
        yield Diagnostic(str(tree.root), "has no package placet.main", "copy it from the policy that ships with Placet")
    first_use: dict[str, str] = {}
    for module in modules:
        yield from _package_problems(tree, module)
        for rule in module.rules:
            where = tree.where(module.file, rule.line)
            yield from _in_pack(where, rule) if module.pack else _outside_pack(where, rule, module)
            if isinstance(rule.rule_id, str):
                if rule.rule_id in first_use:
                    what = f"duplicate rule_id {rule.rule_id}, first used at {first_use[rule.rule_id]}"
                    yield Diagnostic(where, what, "give each rule a different rule_id")
                first_use.setdefault(rule.rule_id, where)


def _package_problems(tree: PolicyTree, module: Module) -> Iterator[Diagnostic]:
    where = tree.where(module.file, module.package_line)
    folder = PurePosixPath(module.file).parent.parts
    package = ".".join(module.package)
    if module.package != folder:
        remedy = f"write `package {'.'.join(folder)}`" if folder else "move it into a folder"
        yield Diagnostic(where, f"the package {package} does not match its folder {'/'.join(folder) or '.'}", remedy)
        return
    if module.package[0] == TENANTS:
        what = f"the package {package} is in data.{TENANTS}, which Placet fills from the tenant files"
        yield Diagnostic(where, what, "rename it")
    if module.package[: len(COMPILED)] == COMPILED:
        what = f"the package {package} is in data.{'.'.join(COMPILED)}, which Placet adds to the bundle"
        yield Diagnostic(where, what, "rename it")
    for root in PACK_ROOTS:
        if module.package[: len(root)] == root and len(module.package) != len(root) + 1:
            what = f"the package {package} is not a pack, so its rules would not be collected"
            yield Diagnostic(where, what, f"a pack is one folder: {'/'.join(root)}/<pack>")


def _in_pack(where: str, rule: Rule) -> Iterator[Diagnostic]:
    """Yield the problems of a rule in a pack, also when its name is probably a misspelt effect."""
    if rule.base in EFFECT_SETS:
        if rule.is_default or not rule.is_partial_set or rule.name != rule.base:
            form = f"default {rule.base}" if rule.is_default else f"{rule.name} is not a set, so it"
            remedy = f"write {_FINDING_FORM.format(rule.base)}"
            yield Diagnostic(where, f"{form} is not collected as a finding", remedy)
        else:
            yield from _metadata_problems(where, rule)
        return
    near = closest(rule.name, EFFECT_SETS)
    if rule.rule_id is not None:
        remedy = f"did you mean {near}?" if near else f"findings go into {', '.join(EFFECT_SETS)}"
        yield Diagnostic(where, f"{rule.name} has a rule_id but is not collected", remedy)
    elif rule.is_partial_set and near and not rule.name.startswith("_"):
        remedy = f"did you mean {near}? If it is a helper, begin its name with an underscore: _{rule.name}"
        yield Diagnostic(where, f"the set {rule.name} is not collected", remedy)


def _outside_pack(where: str, rule: Rule, module: Module) -> Iterator[Diagnostic]:
    """Yield the problems of a rule outside of packs: a rule_id, and a name that defines a value inside a pack."""
    if rule.rule_id is not None:
        yield Diagnostic(where, f"{rule.name} has a rule_id but is in no pack", f"move it to {_PACK_FOLDERS}")
    whole = (*module.package, *rule.name.split("."))
    if any(whole[: len(root)] == root for root in PACK_ROOTS):
        what = f"{rule.name} defines a value inside a pack, where it would not be checked as a finding"
        yield Diagnostic(where, what, f"move it to {_PACK_FOLDERS}")


def _metadata_problems(where: str, rule: Rule) -> Iterator[Diagnostic]:
    if len(rule.annotations) > 1:
        yield Diagnostic(where, "has more than one METADATA block", "keep one")
    if not rule.annotations:
        what = f"this {rule.name} rule has no METADATA of scope rule"
        yield Diagnostic(
            where, what, "write above it: # METADATA, # title: <reason>, # custom:, #   rule_id: <pack>.<name>"
        )
        return
    title = rule.title
    if not isinstance(title, str) or not title.strip() or len(title) > REASON_CHARS_MAX:
        what = f"its METADATA has no title of 1 to {REASON_CHARS_MAX} characters"
        yield Diagnostic(where, what, "write the reason that people read")
    yield from _rule_id_problems(where, rule.rule_id)
    if not rule.reads_metadata:
        what = "its finding does not use rego.metadata.rule(), so it could have another rule_id"
        yield Diagnostic(where, what, f"write {_FINDING_FORM.format(rule.name)}")


def _rule_id_problems(where: str, rule_id: object) -> Iterator[Diagnostic]:
    if not isinstance(rule_id, str):
        remedy = "write # custom: and below it #   rule_id: <pack>.<name>"
        yield Diagnostic(where, "its METADATA has no custom.rule_id", remedy)
    elif not RULE_ID_PATTERN.fullmatch(rule_id) or len(rule_id) > RULE_ID_CHARS_MAX:
        remedy = (
            "write letters, digits and _ in parts joined by dots, a letter first, at most "
            f"{RULE_ID_CHARS_MAX} characters"
        )
        yield Diagnostic(where, f"{rule_id!r} is not a valid rule_id", remedy)
    elif is_reserved(rule_id) or rule_id in RETIRED:
        yield Diagnostic(where, f"the rule_id {rule_id} is reserved for Placet", _RESERVED)


def _data_problems(tree: PolicyTree) -> Iterator[Diagnostic]:
    """Yield data at the place of the tenants, and data that would count as findings of a pack."""
    data = tree.nested_data()
    if TENANTS in data:
        what = f"a data file defines {TENANTS}, which Placet fills from the tenant files"
        yield Diagnostic(str(tree.root), what, "remove it; tenant files are config/<tenant>.yaml")
    yield from _compiled_data(tree)
    for root in PACK_ROOTS:
        packs = _at(data, root)
        for pack, document in packs.items() if isinstance(packs, Mapping) else ():
            for name in EFFECT_SETS:
                if isinstance(document, Mapping) and name in document:
                    path = ".".join((*root, pack, name))
                    what = f"a data file defines {path}, which would count as findings of a rule"
                    yield Diagnostic(tree.where("/".join((*root, pack))), what, "rename the key")


def _compiled_data(tree: PolicyTree) -> Iterator[Diagnostic]:
    """Yield the data files with anything, even null, at the place of what Placet compiles."""
    for name, document in tree.data.items():
        folder = PurePosixPath(name).parent.parts[: len(COMPILED)]
        keys = COMPILED[len(folder) :]
        around = _at(document.value, keys[:-1])
        if folder == COMPILED[: len(folder)] and (not keys or (isinstance(around, Mapping) and keys[-1] in around)):
            what = f"the data file defines {'.'.join(COMPILED)}, which Placet adds to the bundle"
            yield Diagnostic(document.where(keys), what, "rename the key or the folder")


def _at(data: Any, path: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path of mappings; None when there is none."""
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data
