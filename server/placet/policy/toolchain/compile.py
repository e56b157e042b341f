"""Compile a policy tree with ``opa check --strict``, against its capabilities and its input schema.

OPA's errors become diagnostics with a remedy. `capabilities.json` is checked first: it must exclude the network and
every nondeterministic builtin.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.diagnostics import did_you_mean
from placet.kernel.errors import Diagnostic
from placet.policy.files.tree import CAPABILITIES, INPUT_SCHEMA
from placet.policy.toolchain.process import first_line, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree

FORBIDDEN_BUILTINS: Final = frozenset(
    {
        *("http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122"),
        *("io.jwt.decode_verify", "io.jwt.encode_sign", "io.jwt.encode_sign_raw"),
    }
)
"""The builtins that OPA marks nondeterministic: the same input can give another result.

A decision that used one could not be evaluated again from its record.
"""
_ALTERNATIVES: Final = {
    "time.now_ns": "use time.parse_rfc3339_ns(input.now)",
    "http.send": "put the data into the policy tree",
    "glob.match": "its run time is unbounded; use data.placet.lib.glob_matches, which takes the same arguments",
}
_ERRORS_MAX: Final = "100"
_UNDEFINED_FUNCTION: Final = re.compile(r"undefined function (\S+)")
_UNDEFINED_REF: Final = re.compile(r"undefined ref: (\S+)")


def compile_problems(tree: PolicyTree, stage: Path, opa: Path) -> Iterator[Diagnostic]:
    """Yield the problems of capabilities.json; without any, those of compiling the staged tree.

    Raises ConfigurationError when OPA cannot be run.
    """
    in_capabilities = list(_capabilities_problems(tree))
    if in_capabilities:
        yield from in_capabilities
        return
    arguments = ["check", "--bundle", "--strict", "--schema", INPUT_SCHEMA, "--capabilities", CAPABILITIES]
    result = run(opa, [*arguments, "--format", "json", "--max-errors", _ERRORS_MAX, "."], cwd=stage)
    if result.exit_code == 0:
        return
    errors = _errors(result.stdout) or _errors(result.stderr)
    for error in errors:
        yield _problem(tree, error)
    if not errors:
        yield Diagnostic(str(tree.root), f"opa check failed: {result.message}")


def _capabilities_problems(tree: PolicyTree) -> Iterator[Diagnostic]:
    """Yield each nondeterministic builtin that capabilities.json allows, and network access."""
    where = tree.where(CAPABILITIES)
    try:
        capabilities = json.loads(tree.capabilities)
        names = {builtin["name"] for builtin in capabilities["builtins"]}
    except (ValueError, TypeError, KeyError):
        what = "is not a capabilities file of OPA"
        yield Diagnostic(where, what, "copy it from the policy that ships with Placet")
        return
    for name in sorted(names & FORBIDDEN_BUILTINS):
        yield Diagnostic(where, f"allows the nondeterministic builtin {name}", "remove it")
    if capabilities.get("allow_net") != []:
        yield Diagnostic(where, "does not deny network access", 'write "allow_net": []')


def _errors(output: str) -> list[Mapping[str, Any]]:
    """Return the errors of OPA's JSON output; empty when the output has another form."""
    try:
        errors = json.loads(output)["errors"]
    except (ValueError, TypeError, KeyError):
        return []
    return [error for error in errors if isinstance(error, dict)]


def _problem(tree: PolicyTree, error: Mapping[str, Any]) -> Diagnostic:
    """Return one error of OPA as a diagnostic, with a remedy for undefined functions and references."""
    location = error.get("location") or {}
    where = tree.where(location["file"], location["row"]) if location.get("file") else str(tree.root)
    message = first_line(str(error.get("message", "")))
    function = _UNDEFINED_FUNCTION.fullmatch(message)
    if function:
        return _undefined_function(where, function.group(1))
    reference = _UNDEFINED_REF.match(message)
    if reference:
        fields = (error.get("details") or {}).get("oneOf") or []
        unknown = reference.group(1).rpartition(".")[2]
        what = f"{reference.group(1)}: no such field in {INPUT_SCHEMA}"
        return Diagnostic(where, what, did_you_mean(unknown, [str(field) for field in fields]))
    return Diagnostic(where, message)


def _undefined_function(where: str, name: str) -> Diagnostic:
    if name in FORBIDDEN_BUILTINS:
        what = f"the builtin {name} is forbidden because it is nondeterministic"
        return Diagnostic(where, what, _ALTERNATIVES.get(name, "take the value from input or data"))
    what = f"{name}: no such function, and no builtin that {CAPABILITIES} allows"
    return Diagnostic(where, what, _ALTERNATIVES.get(name, ""))
