"""Read and validate the tenant files, ``config/<tenant>.yaml``.

A tenant file has one key, `agent_policy`. Its `packs` section configures packs of the tree, so it is also checked
against the defaults of those packs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, Final
from weakref import WeakValueDictionary

from pydantic import ValidationError

from placet.identity.model import TENANT_FORM, is_tenant
from placet.kernel.collector import keep_from_collector
from placet.kernel.diagnostics import DocumentDiagnostic, Place, closest, did_you_mean
from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.files.strict_yaml import Document, read_yaml
from placet.policy.files.tree import CONFIG, DATA_NAMES, PolicyTree, read_tree
from placet.tenants.diagnostics import document_diagnostics, hidden_diagnostics
from placet.tenants.policy import TenantPolicy

TOP_KEY: Final = "agent_policy"
DEFAULTS: Final = "defaults"
PACKS: Final = "policy"
"""Folder of the packs that a tenant's `packs` section can configure."""
MISSPELT_MIN: Final = 0.75
"""Similarity from which a new key counts as a misspelling: `form` of `from`, but not `AUD` of `USD`."""
UNCOLLECTED_MAX: Final = 50
"""Tenants between two calls of `keep_from_collector`. They are 100,000 objects, which take 5 ms to look at."""
_PARSED: Final[WeakValueDictionary[tuple[bytes, str], TenantPolicy]] = WeakValueDictionary()
"""Policies by the digest of their file, and by the defaults of the packs. Tenants with equal files share one."""


def load_agent_policies(rego_dir: Path) -> Mapping[str, TenantPolicy]:
    """Return the agent_policy of each tenant in the policy folder.

    Raises PolicyInvalidError with every problem.
    """
    return parse_tenants(read_tree(rego_dir))


def parse_tenants(tree: PolicyTree) -> Mapping[str, TenantPolicy]:
    """Return the agent_policy of each tenant in a tree. Raises PolicyInvalidError with the problems of all files."""
    problems: list[Diagnostic] = []
    policies: dict[str, TenantPolicy] = {}
    defaults = pack_defaults(tree)
    known = repr(defaults)
    for number, name in enumerate(tree.tenants):
        if number % UNCOLLECTED_MAX == 0:
            keep_from_collector()
        try:
            policies[PurePosixPath(name).stem] = _parse_once(tree, name, defaults, known)
        except PolicyInvalidError as error:
            problems.extend(error.problems)
    if not tree.tenants:
        remedy = f"add {CONFIG}/<tenant>.yaml with the key {TOP_KEY}"
        problems.append(Diagnostic(str(tree.root / CONFIG), "there is no tenant file", remedy))
    if problems:
        raise PolicyInvalidError(problems)
    return policies


def pack_defaults(tree: PolicyTree) -> Mapping[str, Mapping[str, Any]]:
    """Return the `defaults` of each pack from the data file in its folder; empty for a pack without defaults."""
    defaults: dict[str, Mapping[str, Any]] = {}
    for name in tree.modules:
        parts = PurePosixPath(name).parts
        if len(parts) > 2 and parts[0] == PACKS:  # noqa: PLR2004 # policy/<pack>/<file>
            defaults.setdefault(parts[1], {})
    for pack in defaults:
        for name in data_files_of(tree, pack):
            values = tree.data[name].value.get(DEFAULTS)
            if isinstance(values, Mapping):
                defaults[pack] = values
    return defaults


def data_files_of(tree: PolicyTree, pack: str) -> list[str]:
    """Return the names of the data files in the folder of a pack."""
    return [name for data_name in DATA_NAMES if (name := f"{PACKS}/{pack}/{data_name}") in tree.data]


def _parse_once(
    tree: PolicyTree, name: str, defaults: Mapping[str, Mapping[str, Any]], known_defaults: str
) -> TenantPolicy:
    """Return what `_parse` returned for the same content, as long as a loaded policy uses it.

    Parsing a file takes milliseconds. A server with 1,000 tenants of which one changed parses one.
    """
    tenant, where, content = PurePosixPath(name).stem, tree.where(name), tree.tenants[name]
    if not is_tenant(tenant):
        what = f"{tenant!r} is not a tenant id"
        remedy = f"rename the file: {TENANT_FORM}"
        raise PolicyInvalidError([Diagnostic(where, what, remedy)])
    key = (hashlib.sha256(content).digest(), known_defaults)
    policy = _PARSED.get(key)
    if policy is None:
        policy = _PARSED[key] = _parse(where, content, defaults)
    return policy


def _parse(where: str, content: bytes, defaults: Mapping[str, Mapping[str, Any]]) -> TenantPolicy:
    """Return the agent_policy of one file. Raises PolicyInvalidError with every problem of the file."""
    document = read_yaml(content, where)
    value = document.value
    if not isinstance(value, dict) or TOP_KEY not in value:
        keys = list(value) if isinstance(value, dict) else []
        hint = f"; found {', '.join(keys)}" if keys else ""
        what = f"has no {TOP_KEY}{hint}"
        raise PolicyInvalidError([Diagnostic(f"{where}:1", what, f"begin the file with {TOP_KEY}:")])
    diagnostics = [
        DocumentDiagnostic((key,), "unknown key", f"the only key here is {TOP_KEY}") for key in value if key != TOP_KEY
    ]
    try:
        policy = TenantPolicy.model_validate(value[TOP_KEY])
    except ValidationError as error:
        invalid = document_diagnostics(error)
        related = hidden_diagnostics(value[TOP_KEY], invalid) if isinstance(value[TOP_KEY], dict) else ()
        diagnostics.extend(below(TOP_KEY, diagnostic) for diagnostic in (*invalid, *related))
    else:
        in_packs = _pack_diagnostics(policy, defaults)
        diagnostics.extend(below(TOP_KEY, below("packs", diagnostic)) for diagnostic in in_packs)
        if not diagnostics:
            return policy
    raise PolicyInvalidError([located(document, diagnostic) for diagnostic in diagnostics])


def below(key: str, diagnostic: DocumentDiagnostic) -> DocumentDiagnostic:
    """Return the diagnostic with `key` before its path."""
    return DocumentDiagnostic((key, *diagnostic.path), diagnostic.what, diagnostic.remedy)


def located(document: Document, diagnostic: DocumentDiagnostic) -> Diagnostic:
    """Return the diagnostic with the file and line of its path."""
    what = f"{diagnostic.place}: {diagnostic.what}"
    return Diagnostic(document.where(diagnostic.path), what, diagnostic.remedy)


def _pack_diagnostics(policy: TenantPolicy, defaults: Mapping[str, Mapping[str, Any]]) -> Iterator[DocumentDiagnostic]:
    """Yield the settings of `packs` that name no pack, no setting of the pack, or have another type."""
    for pack, values in policy.packs.items():
        if pack not in defaults:
            yield DocumentDiagnostic((pack,), "no such pack", did_you_mean(pack, defaults))
            continue
        for key, value in values.items():
            if key in defaults[pack]:
                yield from _type_diagnostics(defaults[pack][key], value, (pack, key))
            else:
                what = f"the pack {pack} has no such setting"
                yield DocumentDiagnostic((pack, key), what, did_you_mean(key, defaults[pack]))


def _type_diagnostics(default: object, value: object, path: Place) -> Iterator[DocumentDiagnostic]:
    """Yield the parts of a value whose type differs from the pack's default. A default of null accepts any value."""
    expected, actual = _type_name(default), _type_name(value)
    if default is None or (expected == "a decimal number" and actual == "a whole number"):
        return
    if expected != actual:
        yield DocumentDiagnostic(path, f"should be {expected} as in the pack's defaults, not {actual}")
    elif isinstance(default, list) and isinstance(value, list):
        for index, item in enumerate(value if default else ()):
            yield from _type_diagnostics(default[0], item, (*path, index))
    elif isinstance(default, Mapping) and isinstance(value, Mapping):
        yield from _mapping_diagnostics(default, value, path)


def _mapping_diagnostics(
    default: Mapping[str, Any], value: Mapping[str, Any], path: Place
) -> Iterator[DocumentDiagnostic]:
    """Yield unknown keys of a mapping, and members of another type than the default's.

    A key that the default does not have is accepted when all members of the default have one type, such as one amount
    for each currency, and the key is not similar to an unused key of the default.
    """
    types = {_type_name(item) for item in default.values()}
    for key, item in value.items():
        if key in default:
            yield from _type_diagnostics(default[key], item, (*path, key))
        elif len(types) > 1 or closest(key, [known for known in default if known not in value], MISSPELT_MIN):
            yield DocumentDiagnostic((*path, key), "unknown key", did_you_mean(key, default))
        elif default:
            yield from _type_diagnostics(next(iter(default.values())), item, (*path, key))


def _type_name(value: object) -> str:
    """Return the type of a value of YAML as error texts name it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    names: Mapping[type, str] = {
        int: "a whole number",
        Decimal: "a decimal number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return names[type(value)]
