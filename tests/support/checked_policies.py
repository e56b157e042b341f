"""Remembers which policies passed the checks of a load, for tests of what happens around a load.

The checks run OPA five times, and their result follows from the files alone. Tests of the checks themselves must not
use it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from placet.policy.bundles import bundle
from placet.policy.checks.check import serving_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pytest

    from placet.policy.checks.rule_check import RuleCheck
    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

_check_with_opa: Final = bundle._check_with_opa
_passed: Final[set[str]] = set()
"""Digests of policies and of bundles that passed, in this process."""


def remember_checked_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check each policy and each bundle once in this process."""
    monkeypatch.setattr(bundle, "serving_problems", _problems_once)
    monkeypatch.setattr(bundle, "_check_with_opa", _check_once)


def _problems_once(
    tree: PolicyTree,
    policies: Mapping[str, TenantPolicy],
    stage: Path,
    opa: Path,
    rules: Callable[[PolicyTree, Path], RuleCheck],
) -> object:
    key = f"{opa} {tree.digest}"
    if key in _passed:
        return ()
    problems = serving_problems(tree, policies, stage, opa, rules)
    if not problems:
        _passed.add(key)
    return problems


def _check_once(tree: PolicyTree, stage: Path, opa: Path, content: bytes) -> None:
    key = f"{opa} {hashlib.sha256(content).hexdigest()}"
    if key not in _passed:
        _check_with_opa(tree, stage, opa, content)
        _passed.add(key)
