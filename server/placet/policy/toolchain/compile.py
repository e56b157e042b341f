"""Whether the policy compiles under its capabilities and its input schema, in words that say how to mend it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.diagnostics import did_you_mean
from placet.kernel.errors import Diagnostic
from placet.policy.files.tree import CAPABILITIES, INPUT_SCHEMA
from placet.policy.toolchain.process import run

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
"""Builtins that answer differently to the same input (OPA marks them nondeterministic).

A decision that used one could not be evaluated again from its record.
"""
_INSTEAD: Final = {
    "time.now_ns": "use time.parse_rfc3339_ns(input.now)",
    "http.send": "put the data into the policy tree",
    "glob.match": "its time has no bound; use data.placet.lib.glob_matches, which takes the same arguments",
}
_ERRORS_MAX: Final = "100"
_UNDEFINED_FUNCTION: Final = re.compile(r"undefined function (\S+)")
_UNDEFINED_REF: Final = re.compile(r"undefined ref: (\S+)")


def compile_problems(tree: PolicyTree, stage: Path, opa: Path) -> Iterator[Diagnostic]:
    """Whether capabilities.json is sound, and if so run ``opa check --strict`` with it and the input schema."""
    unsound = list(_capabilities_problems(tree))
    if unsound:
        yield from unsound
        return
    arguments = ["check", "--bundle", "--strict", "--schema", INPUT_SCHEMA, "--capabilities", CAPABILITIES]
    ended = run(opa, [*arguments, "--format", "json", "--max-errors", _ERRORS_MAX, "."], cwd=stage)
    if ended.code == 0:
        return
    errors = _errors(ended.stdout) or _errors(ended.stderr)
    for error in errors:
        yield _problem(tree, error)
    if not errors:
        yield Diagnostic(str(tree.root), f"opa check failed: {first_line(ended.stderr or ended.stdout)}")


def _capabilities_problems(tree: PolicyTree) -> Iterator[Diagnostic]:
    """Whether capabilities.json keeps out what it must."""
    where = tree.where(CAPABILITIES)
    try:
        capabilities = json.loads(tree.capabilities)
        names = {builtin["name"] for builtin in capabilities["builtins"]}
    except (ValueError, TypeError, KeyError):
        yield Diagnostic(where, "is no capabilities file of OPA", "copy it from the policy that ships with Placet")
        return
    for name in sorted(names & FORBIDDEN_BUILTINS):
        yield Diagnostic(where, f"allows the builtin {name}, which answers differently to the same input", "remove it")
    if capabilities.get("allow_net") != []:
        yield Diagnostic(where, "does not forbid the network to policy", 'write "allow_net": []')


def first_line(text: str) -> str:
    """Give the first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")


def _errors(output: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(output)["errors"]
    except (ValueError, TypeError, KeyError):
        return []
    return [error for error in found if isinstance(error, dict)]


def _problem(tree: PolicyTree, error: Mapping[str, Any]) -> Diagnostic:
    location = error.get("location") or {}
    where = tree.where(location["file"], location["row"]) if location.get("file") else str(tree.root)
    message = first_line(str(error.get("message", "")))
    function = _UNDEFINED_FUNCTION.fullmatch(message)
    if function:
        return _undefined_function(where, function.group(1))
    reference = _UNDEFINED_REF.match(message)
    if reference:
        known = (error.get("details") or {}).get("oneOf") or []
        wrong = reference.group(1).rpartition(".")[2]
        what = f"{reference.group(1)}: no such field in {INPUT_SCHEMA}"
        return Diagnostic(where, what, did_you_mean(wrong, [str(name) for name in known]))
    return Diagnostic(where, message)


def _undefined_function(where: str, name: str) -> Diagnostic:
    if name in FORBIDDEN_BUILTINS:
        what = f"the builtin {name} is forbidden: it answers differently to the same input"
        return Diagnostic(where, what, _INSTEAD.get(name, "take the value from input or data"))
    what = f"{name}: no such function, and no builtin that {CAPABILITIES} allows"
    return Diagnostic(where, what, _INSTEAD.get(name, ""))
