"""Check the settings of packs: a misspelt name would make a rule undefined, and an undefined deny is no deny.

Only constant names are checked: `lib.pack_config("refunds")`, its members, and the keys of ``data.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.diagnostics import did_you_mean
from placet.kernel.errors import Diagnostic
from placet.policy.checks.rule_checks import EFFECT_SETS
from placet.policy.files.tenant_files import DEFAULTS, PACKS, data_files_of, pack_defaults
from placet.policy.files.tree import DATA_NAMES
from placet.policy.rego.syntax import bindings_of, call_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node

PACK_CONFIG: Final = ("data", "placet", "lib", "pack_config")
"""The function that returns the settings of a pack."""
_PACK_DATA: Final = ("data", PACKS)


def setting_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield the settings that rules read and no pack has, and the data of packs that no rule reads."""
    defaults, shared = pack_defaults(tree), _shared_configs(modules)
    for module in modules:
        for rule in module.rules:
            where = tree.where(module.file, rule.line)
            yield from _call_problems(where, module, rule, defaults)
            configs = {**shared.get(module.package, {}), **_bound_configs(module, rule)}
            yield from _member_problems(where, module, rule, configs, defaults)
    yield from _unread_data(tree, modules)


def _call_problems(
    where: str, module: Module, rule: Rule, defaults: Mapping[str, Mapping[str, Any]]
) -> Iterator[Diagnostic]:
    """Yield the calls of `pack_config` for a pack that does not exist or has no settings."""
    for pack in sorted({pack for term in walk(rule.syntax) if (pack := _config_of(module, term))}):
        if pack not in defaults:
            yield Diagnostic(where, f"reads the settings of {pack!r}, which is no pack", did_you_mean(pack, defaults))
        elif not defaults[pack]:
            remedy = f"write them to {PACKS}/{pack}/{DATA_NAMES[1]} below the key {DEFAULTS}"
            yield Diagnostic(where, f"reads the settings of the pack {pack}, which has none", remedy)


def _member_problems(
    where: str,
    module: Module,
    rule: Rule,
    configs: Mapping[str, str],
    defaults: Mapping[str, Mapping[str, Any]],
) -> Iterator[Diagnostic]:
    """Yield the settings that the rule reads and their pack does not have."""
    for term in walk(rule.syntax):
        if term.get("type") != "ref" or len(term["value"]) == 1 or term["value"][1]["type"] != "string":
            continue
        first, name = term["value"][0], term["value"][1]["value"]
        pack = configs.get(first["value"]) if first["type"] == "var" else _config_of(module, first)
        if pack and defaults.get(pack) and name not in defaults[pack]:
            yield Diagnostic(where, f"the pack {pack} has no setting {name}", did_you_mean(name, defaults[pack]))


def _config_of(module: Module, term: Node) -> str:
    """Return the pack whose settings a term calls for by a constant name; "" for any other term."""
    function, arguments = call_of(term)
    is_constant = len(arguments) == 1 and arguments[0]["type"] == "string"
    return arguments[0]["value"] if is_constant and module.resolved(function) == PACK_CONFIG else ""


def _shared_configs(modules: Sequence[Module]) -> dict[tuple[str, ...], dict[str, str]]:
    """Return by package the rules that hold settings, as in ``_config := lib.pack_config("refunds")``."""
    shared: dict[tuple[str, ...], dict[str, str]] = {}
    for module in modules:
        for rule in module.rules:
            if pack := _config_of(module, rule.syntax["head"].get("value")):
                shared.setdefault(module.package, {})[rule.name] = pack
    return shared


def _bound_configs(module: Module, rule: Rule) -> dict[str, str]:
    """Return the variables that the rule binds: to the pack whose settings they hold, or to "" for other values."""
    lines = [node for node in walk(rule.syntax) if "terms" in node]
    bindings = [binding for line in lines for binding in bindings_of(line)]
    arguments = {term["value"]: "" for term in rule.syntax["head"].get("args") or () if term["type"] == "var"}
    return {**arguments, **{name: _config_of(module, value) for name, value in bindings}}


def _unread_data(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield the keys beside `defaults` that no rule reads: `default` would leave the pack without settings."""
    paths = [path for module in modules for path in _data_paths(module)]
    packs = tree.nested_data().get(PACKS)
    for pack, document in packs.items() if packs else ():
        for key in document if isinstance(document, dict) else ():
            if key in {DEFAULTS, *EFFECT_SETS} or any(_covers(path, (pack, key)) for path in paths):
                continue
            [file, *_] = [*data_files_of(tree, pack), f"{PACKS}/{pack}"]
            remedy = f"settings are below the key {DEFAULTS}; remove {key}, or read it in a rule"
            yield Diagnostic(tree.where(file), f"no rule reads the key {key}", remedy)


def _data_paths(module: Module) -> Iterator[tuple[str | None, ...]]:
    """Yield the paths below ``data.policy`` that the module reads; None stands for a part that is not constant."""
    for rule in module.rules:
        inner: set[int] = set()
        for term in walk(rule.syntax):
            if term.get("type") == "ref" and term["value"][0]["type"] == "var":
                first, *rest = term["value"]
                inner.add(id(first))
            elif term.get("type") == "var" and id(term) not in inner:
                first, rest = term, []
            else:
                continue
            parts = (part["value"] if part["type"] == "string" else None for part in rest)
            path = (*module.resolved((first["value"],)), *parts)
            if path[: len(_PACK_DATA)] == _PACK_DATA[: len(path)]:
                yield path[len(_PACK_DATA) :]


def _covers(path: tuple[str | None, ...], wanted: tuple[str, str]) -> bool:
    """Return whether a path that rules read includes the data at ``(pack, key)``."""
    return all(part is None or part == expected for part, expected in zip(path, wanted, strict=False))
