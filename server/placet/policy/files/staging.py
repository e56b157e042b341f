"""A temporary copy of a policy tree for OPA to work on: just what is policy, links resolved, data as exact JSON."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import orjson

from placet.policy.files.tree import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from placet.policy.files.tree import PolicyTree
    from placet.tenants.agent_policy import AgentPolicy

TENANTS: Final = "tenants"
"""Where policy finds the tenants' agent_policy: ``data.tenants``. No file of the tree may put data or rules there."""


def exact_json(value: object) -> bytes:
    """Write JSON with sorted keys and every `Decimal` digit by digit."""
    return orjson.dumps(value, default=_decimal, option=orjson.OPT_SORT_KEYS)


def tenants_document(policies: Mapping[str, AgentPolicy]) -> bytes:
    """The JSON document that policy reads at ``data.tenants``."""
    return exact_json({tenant: policy.as_data() for tenant, policy in policies.items()})


@contextmanager
def staged(
    tree: PolicyTree, *, tests: bool, tenants: bytes | None = None, parent: Path | None = None
) -> Iterator[Path]:
    """Write the tree's modules, data, schemas and capabilities (and tests, and tenants) to a passing folder."""
    with tempfile.TemporaryDirectory(prefix="placet-policy-", dir=parent) as folder:
        stage = Path(folder)
        for name, content in _files(tree, tests=tests, tenants=tenants):
            path = stage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield stage


def policy_files(tree: PolicyTree, tenants: bytes | None) -> Iterator[tuple[str, bytes]]:
    """What decides: modules, data as exact JSON, and the tenants' document when there is one; by name."""
    yield from tree.modules.items()
    for name, document in tree.data.items():
        path = PurePosixPath(name)
        if path.suffix == ".json":
            yield name, tree.raw_data[name]
        else:
            yield str(path.with_suffix(".json")), exact_json(document.value)
    if tenants is not None:
        yield f"{TENANTS}/data.json", tenants


def _files(tree: PolicyTree, *, tests: bool, tenants: bytes | None) -> Iterator[tuple[str, bytes]]:
    yield from policy_files(tree, tenants)
    yield from tree.schemas.items()
    yield CAPABILITIES, tree.capabilities
    if tests:
        yield from tree.tests.items()


def _decimal(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())
    raise TypeError(f"{type(value).__name__} has no place in policy data")
