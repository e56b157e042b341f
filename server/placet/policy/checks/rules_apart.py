"""Check the rules of a policy tree in a process apart.

The syntax trees of a large policy are millions of objects: reading them would hold up the decisions of a server that
reloads, and its memory would not shrink again. Rules that passed are not checked again: most reloads change tenants.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError
from placet.policy.checks.rule_check import RuleCheck, check_rules

if TYPE_CHECKING:
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree

MODULE: Final = "placet.policy.checks.rules_apart"
SECONDS_MAX: Final = 600.0
"""Time limit of one check. A thousand rules take two seconds."""
PASSED_MAX: Final = 4
"""Rules that passed last and are not checked again."""
_PR_SET_PDEATHSIG: Final = 1
_PASSED: Final[OrderedDict[tuple[str, Path], RuleCheck]] = OrderedDict()


def check_rules_apart(tree: PolicyTree, opa: Path) -> RuleCheck:
    """Return `check_rules` of the tree, from a child process unless the same rules passed before.

    Raises ConfigurationError when OPA or the child cannot be run. Blocks, so call it in a thread.
    """
    rules = replace(tree, tenants={}, tests={})
    key = (rules.digest, opa)
    found = _PASSED.get(key)
    if found is None:
        found = _checked(rules, opa)
        if not found.problems:
            _PASSED[key] = found
            while len(_PASSED) > PASSED_MAX:
                _PASSED.popitem(last=False)
    return found


def _checked(tree: PolicyTree, opa: Path) -> RuleCheck:
    # -P: the working directory is no place to import from.
    command = [sys.executable, "-P", "-m", MODULE, str(os.getpid())]
    request = pickle.dumps((tree, opa))
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter, and arguments of ours
            command, input=request, capture_output=True, timeout=SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        what = f"the check of the rules did not finish within {SECONDS_MAX:g} s"
        raise ConfigurationError(f"{what}; check that the machine is not overloaded, then try again") from error
    except OSError as error:
        raise ConfigurationError(f"{sys.executable}: cannot be run: {error.strerror}") from error
    if child.returncode != 0:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "no message"
        what = f"the process that checks the rules ended with {child.returncode}: {last}"
        raise ConfigurationError(f"{what}; check that there is enough memory, then try again")
    answer = pickle.loads(child.stdout)  # noqa: S301 - from our own child
    if not isinstance(answer, RuleCheck):
        raise ConfigurationError(str(answer))
    return answer


def main() -> int:
    """Check the tree on stdin and write the result, or the text of a ConfigurationError, to stdout."""
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or os.getppid() != int(sys.argv[1]):
        return 1
    tree, opa = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    try:
        answer: RuleCheck | str = check_rules(tree, opa)
    except ConfigurationError as error:
        answer = str(error)
    sys.stdout.buffer.write(pickle.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
