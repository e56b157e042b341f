"""docs/reference/errors.md lists exactly the calls, statuses, limits, metrics and log events of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from google.rpc import code_pb2, error_details_pb2

from placet.authentication import authenticator
from placet.identity import permissions
from placet.kernel import limits
from placet.kernel.errors import (
    FailedPreconditionError,
    InvalidRequestError,
    OverloadedError,
    PermissionDeniedError,
    PlacetError,
    RateLimitedError,
    UnauthenticatedError,
)
from placet.kernel.reasons import REFUSALS
from placet.revisions.status import PolicyEventKind
from placet.sdk._transport import status as sdk_status
from placet.server.observer import WARNING_EVENTS
from placet.telemetry.metrics import Metrics
from placet.transport.grpc import errors as rpc_errors
from placet.transport.grpc.errors import status_of
from placet.v1 import approval_pb2, audit_pb2, authorization_pb2, control_pb2, key_pb2, token_pb2
from tests.docs.blocks import ROOT
from tests.docs.tables import DOCS, by_name, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = DOCS / "reference/errors.md"
LOGGED = re.compile(r"\blog\.(info|warning|error)(?:\(|, )\s*\"([^\"]+)\"")
NOT_LIMITS = {"TYPE_CHECKING"}
WITH_REASONS: set[type[PlacetError]] = {FailedPreconditionError, PermissionDeniedError, UnauthenticatedError}
"""Errors whose reason says more than their kind."""


def an_error(kind: type[PlacetError]) -> PlacetError:
    if kind is InvalidRequestError:
        return InvalidRequestError([])
    if kind in {OverloadedError, RateLimitedError}:
        return kind(limits.RETRY_AFTER_MS)
    return kind("reason")


def statuses() -> Iterator[tuple[str, str, set[str]]]:
    """What is sent: reason, code, the other details."""
    for kind in set(rpc_errors._STATUS) - WITH_REASONS:
        status = status_of(an_error(kind))
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        others = {detail.type_url.rpartition(".")[2] for detail in status.details[1:]}
        yield info.reason, code_pb2.Code.Name(status.code), others
    yield "NOT_FOUND", "NOT_FOUND", set()
    yield "INTERNAL", "INTERNAL", set()


def test_every_call_has_its_row_and_no_other() -> None:
    calls = {
        f"{name}/{method}"
        for module in (authorization_pb2, approval_pb2, audit_pb2, control_pb2, token_pb2, key_pb2)
        for name, service in module.DESCRIPTOR.services_by_name.items()
        for method in service.methods_by_name
    }
    assert by_name(PAGE, "Calls").keys() == calls


def test_every_reason_has_its_row_and_no_other() -> None:
    documented = {
        (reason, row[0], frozenset(re.findall(r"BadRequest|RetryInfo", row[2])))
        for reason, *row in rows(PAGE, "Status codes")
        if len(row) == 4  # the tables of what state refuses, and of statuses without an ErrorInfo, have less
    }
    assert documented == {(reason, code, frozenset(others)) for reason, code, others in statuses()}


def test_every_reason_of_access_has_its_row_and_no_other() -> None:
    reasons = {name for module in (permissions, authenticator) for name, value in vars(module).items() if name == value}
    assert {reason for reason, *_ in rows(PAGE, "Authentication and access")} == reasons


def test_every_refusal_has_its_row_and_no_other() -> None:
    codes = {code_pb2.Code.Name(rpc_errors._STATUS[kind][0]) for kind in WITH_REASONS}
    documented = {reason: row for reason, *row in rows(PAGE, "Status codes") if len(row) == 2 and row[0] in codes}
    assert {reason: text for reason, (_, text) in documented.items()} == REFUSALS


def test_statuses_become_the_failures_that_are_documented() -> None:
    documented = {code: row[0] for code, row in by_name(PAGE, "What clients make of them").items()}
    assert documented == {code.name: rule_id for code, rule_id in sdk_status._RULE_IDS.items()}


def test_every_limit_has_its_row_and_no_other() -> None:
    values = {name: str(value) for name, value in vars(limits).items() if name.isupper() and name not in NOT_LIMITS}
    assert {name: row[0] for name, row in by_name(PAGE, "Limits").items()} == values


def test_every_metric_has_its_row_and_no_other() -> None:
    metrics = Metrics()
    metrics.watch_depth(lambda: 0.0, lambda: 0.0)
    metrics.watch_watchers(lambda: 0.0)
    collected = {metric.name: (metric.type, metric.documentation) for metric in metrics.registry.collect()}
    documented = by_name(PAGE, "Metrics")
    assert {name: (row[0], row[2]) for name, row in documented.items()} == collected


@pytest.mark.parametrize("name", ["decisions", "engine_failures", "reloads", "latency", "faults", "webhooks"])
def test_labels_of_metrics(name: str) -> None:
    metric = getattr(Metrics(), name)
    row = by_name(PAGE, "Metrics")[metric._name]
    assert re.findall(r"\w+", row[1]) == list(metric._labelnames)


def test_every_log_event_has_its_row_and_no_other() -> None:
    source = "\n".join(file.read_text() for file in sorted((ROOT / "server/placet").rglob("*.py")))
    logged = {event: level for level, event in LOGGED.findall(source)}
    assert 'write(f"policy {event.kind}"' in source
    logged |= {f"policy {kind}": "warning" if kind in WARNING_EVENTS else "info" for kind in PolicyEventKind}
    assert {event: row[0] for event, row in by_name(PAGE, "Log events").items()} == logged
