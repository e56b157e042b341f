"""What policy may call is what the pinned OPA offers without what is left out for a reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from placet.policy.toolchain.compile import FORBIDDEN_BUILTINS
from tests.rego.capabilities import LEFT_OUT, allowed, offered

if TYPE_CHECKING:
    from pathlib import Path


def test_the_file_is_what_the_pinned_opa_offers_without_what_is_left_out(rego: Path, opa: Path) -> None:
    assert (rego / "capabilities.json").read_text() == allowed(opa), "run: python -m tests.rego.capabilities"


def test_everything_left_out_exists(opa: Path) -> None:
    assert LEFT_OUT.keys() <= {builtin["name"] for builtin in offered(opa)["builtins"]}


def test_everything_that_opa_calls_nondeterministic_is_left_out(opa: Path) -> None:
    differing = {builtin["name"] for builtin in offered(opa)["builtins"] if builtin.get("nondeterministic")}
    assert differing <= LEFT_OUT.keys()


def test_what_the_server_forbids_is_left_out() -> None:
    assert LEFT_OUT.keys() >= FORBIDDEN_BUILTINS


def test_schemas_may_not_reach_the_network(rego: Path) -> None:
    assert json.loads((rego / "capabilities.json").read_text())["allow_net"] == []
