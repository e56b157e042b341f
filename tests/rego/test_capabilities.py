"""What policy may call is what the pinned OPA offers without what is left out for a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from placet.opa.binary import find_opa
from placet.opa.compiling import FORBIDDEN_BUILTINS
from tests.rego.capabilities import LEFT_OUT, allowed, offered

REGO = Path(__file__).parents[2] / "rego"


@pytest.fixture(scope="module")
def opa() -> Path:
    return find_opa().path


def test_the_file_is_what_the_pinned_opa_offers_without_what_is_left_out(opa: Path) -> None:
    assert (REGO / "capabilities.json").read_text() == allowed(opa), "run: python -m tests.rego.capabilities"


def test_everything_left_out_exists(opa: Path) -> None:
    assert LEFT_OUT.keys() <= {builtin["name"] for builtin in offered(opa)["builtins"]}


def test_everything_that_opa_calls_nondeterministic_is_left_out(opa: Path) -> None:
    differing = {builtin["name"] for builtin in offered(opa)["builtins"] if builtin.get("nondeterministic")}
    assert differing <= LEFT_OUT.keys()


def test_what_the_server_forbids_is_left_out() -> None:
    assert LEFT_OUT.keys() >= FORBIDDEN_BUILTINS


def test_schemas_may_not_reach_the_network() -> None:
    assert json.loads((REGO / "capabilities.json").read_text())["allow_net"] == []
