"""Decisions, failures and retries, without a server."""

from __future__ import annotations

import ast
import inspect
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import placet.sdk
from placet.sdk import (
    ApprovalRequiredError,
    CallFailedError,
    Decision,
    DeniedError,
    Effect,
    NotAllowedError,
    PlacetSdkError,
    failures,
)
from placet.sdk._transport.retry import BACKOFF_SECONDS, BACKOFF_SECONDS_MAX, LAST_TRY_SECONDS, Attempts
from placet.sdk._wire.decode import time_from_proto
from placet.sdk.decision import denied
from placet.sdk.failures import Failure


@pytest.mark.parametrize(
    ("effect", "error"), [(Effect.DENY, DeniedError), (Effect.REQUIRE_APPROVAL, ApprovalRequiredError)]
)
def test_require_allowed_raises_with_the_decision(effect: Effect, error: type[NotAllowedError]) -> None:
    decision = Decision(effect, "refunds.x", "Too much")
    with pytest.raises(error, match=r"refunds\.x: Too much") as caught:
        decision.require_allowed()
    assert caught.value.decision is decision
    assert isinstance(caught.value, PlacetSdkError)


def test_require_allowed_raises_for_a_failure_too() -> None:
    with pytest.raises(DeniedError) as caught:
        denied(Failure(failures.TIMEOUT)).require_allowed()
    assert caught.value.decision.failure == Failure(failures.TIMEOUT)


def test_a_decision_has_no_truth_value() -> None:
    for effect in Effect:
        with pytest.raises(TypeError, match=r"decision\.allowed"):
            bool(Decision(effect, "r", "x"))


def test_every_failure_id_has_a_reason_and_the_prefix_of_clients() -> None:
    ids = {value for name, value in vars(failures).items() if name.isupper() and isinstance(value, str)}
    assert ids == set(failures.REASONS)
    assert all(re.fullmatch(r"pdp\.client_[a-z_]+", each) for each in ids)


def attempts(timeout: float, rand: float = 1.0, retry_seconds: float = math.inf) -> tuple[Attempts, list[float]]:
    now = [100.0]
    return Attempts(timeout, lambda: now[0], lambda: rand, retry_seconds), now


AGAIN = Failure(failures.UNAVAILABLE, retryable=True)


def test_delays_grow_to_a_maximum() -> None:
    tries, _ = attempts(100)
    waits = [tries.delay_after(AGAIN) for _ in range(6)]
    assert waits == [BACKOFF_SECONDS * 2**n for n in range(4)] + [BACKOFF_SECONDS_MAX] * 2


def test_delays_differ_in_programs_with_the_same_seed() -> None:
    def delays() -> list[float | None]:
        random.seed(7)
        tries = Attempts(100)
        return [tries.delay_after(AGAIN) for _ in range(6)]

    before = random.getstate()
    try:
        assert delays() != delays()
    finally:
        random.setstate(before)


@pytest.mark.parametrize("rand", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("timeout", [0.2, 2.0, 60.0])
def test_retries_continue_until_the_deadline(rand: float, timeout: float) -> None:
    tries, now = attempts(timeout, rand)
    count = 0
    while (delay := tries.delay_after(AGAIN)) is not None:
        now[0] += delay
        count += 1
    assert 0 < tries.remaining() <= LAST_TRY_SECONDS + BACKOFF_SECONDS / 2
    assert count <= 8 + timeout / BACKOFF_SECONDS_MAX * 2


def test_reads_stop_retrying_before_a_long_deadline() -> None:
    tries, now = attempts(600, retry_seconds=2)
    while (delay := tries.delay_after(AGAIN)) is not None:
        now[0] += delay
    assert tries.remaining() == pytest.approx(598, abs=0.1)


def test_jitter_is_half_of_the_delay() -> None:
    tries, _ = attempts(100, rand=0.0)
    assert tries.delay_after(Failure(failures.UNAVAILABLE, retryable=True)) == BACKOFF_SECONDS / 2


def test_a_delay_is_never_shorter_than_the_server_requested() -> None:
    tries, _ = attempts(100, rand=0.0)
    assert tries.delay_after(Failure(failures.OVERLOADED, retryable=True, retry_after_seconds=3)) == 3


def test_no_delay_passes_the_deadline() -> None:
    tries, now = attempts(1)
    again = Failure(failures.OVERLOADED, retryable=True, retry_after_seconds=0.5)
    assert tries.delay_after(again) is not None
    now[0] += 0.6
    assert tries.remaining() == pytest.approx(0.4)
    assert tries.delay_after(again) is None


def test_a_permanent_failure_has_no_retry() -> None:
    tries, _ = attempts(100)
    assert tries.delay_after(Failure(failures.ERROR)) is None


def test_errors_name_id_and_cause() -> None:
    assert str(CallFailedError(Failure(failures.TIMEOUT, "2 s"))) == (
        "pdp.client_timeout: Placet did not answer before the deadline: 2 s"
    )


def test_only_a_server_reports_a_store_failure() -> None:
    assert Failure(failures.UNAVAILABLE).reason == "Placet cannot be reached"
    failure = Failure(failures.UNAVAILABLE, error="LEDGER_UNAVAILABLE")
    assert failure.reason == "Placet could not be reached, or its store failed"


@pytest.mark.parametrize(
    "documented", [getattr(placet.sdk, name) for name in placet.sdk.__all__ if name.endswith("Client")]
)
def test_the_examples_parse_and_import_existing_names(documented: type) -> None:
    example = re.search(r"::\n\n((?:    .*\n|\n)+)", inspect.cleandoc(documented.__doc__ or "") + "\n")
    assert example is not None
    tree = ast.parse("if True:\n" + example.group(1))
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert documented.__name__ in imported
    assert all(hasattr(placet.sdk, name) for name in imported)


def test_needs_grpcio_protobuf_and_the_common_protos_only() -> None:
    """Imports the SDK while all other packages fail to import."""
    code = """
import sys
class Refuse:
    allowed = {"placet", "grpc", "google", "typing_extensions"}
    def find_spec(self, name, path=None, target=None):
        root = name.split(".")[0]
        if name.startswith("google.") and not name.startswith(("google.protobuf", "google.rpc")):
            raise ImportError(name)
        if root not in self.allowed and root not in sys.stdlib_module_names and not root.startswith("_"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import placet.sdk
loaded = [n for n in sys.modules if n.startswith("placet.") and not n.startswith(("placet.sdk", "placet.v1"))]
assert not loaded, loaded
assert placet.sdk.Client("127.0.0.1:1", timeout=0.1).authorize(
    placet.sdk.Action("t"), placet.sdk.Identity("a", "t")
).rule_id.startswith("pdp.client_")
"""
    server = Path(placet.sdk.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": str(server)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_time_out_of_range_is_none() -> None:
    assert time_from_proto(Timestamp(seconds=2**40)) is None
    assert time_from_proto(Timestamp()) is None


@pytest.mark.parametrize(("deprecated", "current"), [("RequestedApproval", "Approval"), ("BudgetStatus", "Budget")])
def test_deprecated_names_are_the_current_classes_and_warn(deprecated: str, current: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"use placet.sdk.{current}$"):
        assert getattr(placet.sdk, deprecated) is getattr(placet.sdk, current)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = getattr(placet.sdk, "Nothing")  # noqa: B009 - a literal attribute would not pass the type check
