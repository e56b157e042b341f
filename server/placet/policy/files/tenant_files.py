"""The tenants' files, ``config/<tenant>.yaml``: read, validated, checked against the packs they configure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import ValidationError

from placet.kernel.diagnostics import DocumentDiagnostic, Place, closest, did_you_mean
from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.files.strict_yaml import Document, read_yaml
from placet.policy.files.tree import CONFIG, DATA_NAMES, PolicyTree, read_tree
from placet.tenants.agent_policy import TENANT_PATTERN, AgentPolicy
from placet.tenants.diagnostics import agent_policy_faults, faults_beside

TOP_KEY: Final = "agent_policy"
DEFAULTS: Final = "defaults"
PACKS: Final = "policy"
"""Folder of the packs that a tenant's `packs` may configure."""
MISSPELT_MIN: Final = 0.75
"""Likeness above which a new key is taken for a misspelling: `form` for `from`, but not `AUD` for `USD`."""


def load_agent_policies(rego_dir: Path) -> Mapping[str, AgentPolicy]:
    """Read every tenant's agent_policy, by tenant. Raises PolicyInvalidError with all that is wrong."""
    return parse_tenants(read_tree(rego_dir))


def parse_tenants(tree: PolicyTree) -> Mapping[str, AgentPolicy]:
    """Validate the tenants' files of a tree. Raises PolicyInvalidError with all that is wrong in any of them."""
    problems: list[Diagnostic] = []
    policies: dict[str, AgentPolicy] = {}
    defaults = pack_defaults(tree)
    for name, content in tree.tenants.items():
        try:
            policies[PurePosixPath(name).stem] = _parse(tree.where(name), name, content, defaults)
        except PolicyInvalidError as error:
            problems.extend(error.problems)
    if not tree.tenants:
        remedy = f"add {CONFIG}/<tenant>.yaml with the key {TOP_KEY}"
        problems.append(Diagnostic(str(tree.root / CONFIG), "no tenant has a file", remedy))
    if problems:
        raise PolicyInvalidError(problems)
    return policies


def pack_defaults(tree: PolicyTree) -> Mapping[str, Mapping[str, Any]]:
    """Pack -> its `defaults`, from the data file in the pack's folder; empty for a pack without."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in tree.modules:
        parts = PurePosixPath(name).parts
        if len(parts) > 2 and parts[0] == PACKS:  # noqa: PLR2004 # policy/<pack>/<file>
            found.setdefault(parts[1], {})
    for pack in found:
        documents = (tree.data.get(f"{PACKS}/{pack}/{data_name}") for data_name in DATA_NAMES)
        for document in documents:
            values = document.value.get(DEFAULTS) if document else None
            if isinstance(values, Mapping):
                found[pack] = values
    return found


def _parse(where: str, name: str, content: bytes, defaults: Mapping[str, Mapping[str, Any]]) -> AgentPolicy:
    tenant = PurePosixPath(name).stem
    if not TENANT_PATTERN.fullmatch(tenant):
        what = f"{tenant!r} is no tenant id"
        raise PolicyInvalidError([Diagnostic(where, what, "1 to 64 of a-z 0-9 _ -, a letter or digit first")])
    document = read_yaml(content, where)
    value = document.value
    if not isinstance(value, dict) or TOP_KEY not in value:
        keys = list(value) if isinstance(value, dict) else []
        hint = f"; found {', '.join(keys)}" if keys else ""
        raise PolicyInvalidError(
            [Diagnostic(f"{where}:1", f"has no {TOP_KEY}{hint}", f"begin the file with {TOP_KEY}:")]
        )
    faults = [
        DocumentDiagnostic((key,), "unknown key", f"the only key here is {TOP_KEY}") for key in value if key != TOP_KEY
    ]
    try:
        policy = AgentPolicy.model_validate(value[TOP_KEY])
    except ValidationError as error:
        wrong = agent_policy_faults(error)
        beside = faults_beside(value[TOP_KEY], wrong) if isinstance(value[TOP_KEY], dict) else ()
        faults.extend(below(TOP_KEY, fault) for fault in (*wrong, *beside))
    else:
        faults.extend(below(TOP_KEY, below("packs", fault)) for fault in _pack_faults(policy, defaults))
        if not faults:
            return policy
    raise PolicyInvalidError([located(document, fault) for fault in faults])


def below(key: str, fault: DocumentDiagnostic) -> DocumentDiagnostic:
    """The same fault, seen from one level further out."""
    return DocumentDiagnostic((key, *fault.path), fault.what, fault.remedy)


def located(document: Document, fault: DocumentDiagnostic) -> Diagnostic:
    """The fault with the line of the file where it stands."""
    return Diagnostic(document.where(fault.path), f"{fault.place}: {fault.what}", fault.remedy)


def _pack_faults(policy: AgentPolicy, defaults: Mapping[str, Mapping[str, Any]]) -> Iterator[DocumentDiagnostic]:
    for pack, values in policy.packs.items():
        if pack not in defaults:
            yield DocumentDiagnostic((pack,), "no such pack", did_you_mean(pack, defaults))
            continue
        for key, value in values.items():
            if key not in defaults[pack]:
                yield DocumentDiagnostic(
                    (pack, key), f"the pack {pack} has no such setting", did_you_mean(key, defaults[pack])
                )
            else:
                yield from _shape_faults(defaults[pack][key], value, (pack, key))


def _shape_faults(default: object, value: object, path: Place) -> Iterator[DocumentDiagnostic]:
    """Whether a value has the form of the pack's default. A default of null takes anything."""
    expected, found = _kind(default), _kind(value)
    if default is None or (expected == "a decimal number" and found == "a whole number"):
        return
    if expected != found:
        yield DocumentDiagnostic(path, f"should be {expected} as in the pack's defaults, not {found}")
    elif isinstance(default, list) and isinstance(value, list):
        for index, item in enumerate(value if default else ()):
            yield from _shape_faults(default[0], item, (*path, index))
    elif isinstance(default, Mapping) and isinstance(value, Mapping):
        yield from _mapping_faults(default, value, path)


def _mapping_faults(default: Mapping[str, Any], value: Mapping[str, Any], path: Place) -> Iterator[DocumentDiagnostic]:
    """Keys of the default are known; others are entries of its kind (one more currency), unless near to a known one."""
    kinds = {_kind(item) for item in default.values()}
    for key, item in value.items():
        if key in default:
            yield from _shape_faults(default[key], item, (*path, key))
        elif len(kinds) > 1 or closest(key, [known for known in default if known not in value], MISSPELT_MIN):
            yield DocumentDiagnostic((*path, key), "unknown key", did_you_mean(key, default))
        elif default:
            yield from _shape_faults(next(iter(default.values())), item, (*path, key))


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    kinds: Mapping[type, str] = {
        int: "a whole number",
        Decimal: "a decimal number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return kinds[type(value)]
