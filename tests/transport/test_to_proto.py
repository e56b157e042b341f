"""Responses can be parsed however deep the details of a rule are."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from placet.audit.records import RecordedDecision
from placet.kernel.model import Decision, Effect, Finding
from placet.sdk._wire.decode import decode_authorize
from placet.transport.grpc.messages.to_proto import (
    DETAILS_DEPTH_MAX,
    TOO_DEEP,
    decision_fields,
    recorded_decision_to_proto,
)
from placet.v1 import audit_pb2, authorization_pb2


def nested(levels: int, *, arrays: bool) -> dict[str, Any]:
    """Return an object of `levels` levels."""
    value: Any = 1
    for _ in range(levels - 1):
        value = [value] if arrays else {"a": value}
    return {"a": value}


def decision(details: dict[str, Any]) -> Decision:
    finding = Finding(Effect.DENY, "pack.rule", "because", details)
    return Decision("dec_1", Effect.DENY, "pack.rule", "because", (finding,), "rev1", "0" * 64, 1, 2)


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("levels", [1, DETAILS_DEPTH_MAX, DETAILS_DEPTH_MAX + 1, 100, 250])
def test_details_of_any_depth(levels: int, arrays: bool) -> None:  # noqa: FBT001 - a table's column
    details = nested(levels, arrays=arrays)
    expected = details if levels <= DETAILS_DEPTH_MAX else TOO_DEEP
    answer = authorization_pb2.AuthorizeResponse(decision=decision_fields(decision(details)))
    message = decode_authorize(answer.SerializeToString(), "key")
    assert message.failure is None
    assert message.findings[0].details == expected
    recorded = RecordedDecision(decision(details), "acme", b"{}", True, "", "c", "k", "w", 1, "0" * 64)  # noqa: FBT003 - its fields in order
    page = audit_pb2.QueryDecisionsResponse(decisions=[recorded_decision_to_proto(recorded, "{}")])
    read = audit_pb2.QueryDecisionsResponse.FromString(page.SerializeToString())
    assert MessageToDict(read.decisions[0].decision.findings[0].details) == expected
