"""Write a policy tree to a temporary folder in the form that OPA reads.

The copy holds only the files of the tree, with links resolved and YAML data converted to exact JSON. `opa check`,
`opa test`, `opa eval` and `opa build` run in such a copy, and a bundle holds the same files.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from orjson import Fragment

from placet.kernel.exact_json import exact_json
from placet.policy.files.tree import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

TENANTS: Final = "tenants"
"""Policy reads the agent_policy of each tenant at ``data.tenants``. No file may define data or rules there."""
COMPILED: Final = ("placet", "compiled")
"""The package that Placet adds to a bundle, see `placet.policy.bundles.compiled`. No file may define anything there."""


def tenants_document(policies: Mapping[str, TenantPolicy]) -> bytes:
    """Return the JSON document that policy reads at ``data.tenants``."""
    return exact_json({tenant: Fragment(policy.data_json) for tenant, policy in policies.items()})


@contextmanager
def staged(
    tree: PolicyTree, *, tests: bool, tenants: bytes | None = None, parent: Path | None = None
) -> Iterator[Path]:
    """Write the tree to a temporary folder below `parent`, and remove the folder when the block ends.

    Writes modules, data, schemas and capabilities. `tests` adds the test modules, `tenants` the document of
    ``data.tenants``. Raises OSError when the folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="placet-policy-", dir=parent) as folder:
        stage = Path(folder)
        for name, content in _files(tree, tests=tests, tenants=tenants):
            path = stage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield stage


def policy_files(tree: PolicyTree, tenants: bytes | None) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of what OPA evaluates: modules, data as exact JSON, and the document of tenants if any."""
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
