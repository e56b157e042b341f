"""`placet outcomes report`: the request, the output and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from placet.v1 import authorization_pb2
from tests.sdk.scripted_server import ScriptedServer, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Placet

REPORT = "/placet.v1.AuthorizationService/ReportOutcome"
ASKED = ("outcomes", "report", "dec_1", "--tenant", "acme", "--status")


def test_a_report_is_sent_and_its_effect_is_shown(placet: Placet, server: ScriptedServer) -> None:
    server.script(REPORT, authorization_pb2.ReportOutcomeResponse(late=True, overspent=["money"], held=["b"]))
    more = ("--cost-micros", "0", "--error-class", "E", "--output", "json", "--address", server.address)
    ran = placet(*ASKED, "not_executed", *more)
    assert ran.code == 0
    assert ran.document == {"repeated": False, "late": True, "overspent": ["money"], "held": ["b"], "kept": []}
    [raw] = server.requests(REPORT)
    assert authorization_pb2.ReportOutcomeRequest.FromString(raw) == authorization_pb2.ReportOutcomeRequest(
        tenant="acme",
        decision_id="dec_1",
        status=authorization_pb2.OUTCOME_STATUS_NOT_EXECUTED,
        cost_micros=0,
        error_class="E",
    )


def test_the_table_has_a_line_for_each_field(placet: Placet, server: ScriptedServer) -> None:
    server.script(REPORT, authorization_pb2.ReportOutcomeResponse(repeated=True))
    ran = placet(*ASKED, "succeeded", "--address", server.address)
    assert [line.split()[:2] for line in ran.out.splitlines()] == [["repeated", "yes"], ["late", "no"]]


@pytest.mark.parametrize("wrong", [("done",), ("succeeded", "--tokens", "-1"), ("succeeded", "--cost-micros", "x")])
def test_an_invalid_report_is_wrong_usage(placet: Placet, wrong: tuple[str, ...]) -> None:
    ran = placet(*ASKED, *wrong)
    assert ran.code == 2
    assert ran.complaint


def test_a_refused_report_says_why(placet: Placet, server: ScriptedServer) -> None:
    server.script(REPORT, status(grpc.StatusCode.FAILED_PRECONDITION, "the decision allowed nothing"))
    ran = placet(*ASKED, "succeeded", "--address", server.address)
    assert ran.code == 1
    assert "the decision allowed nothing" in ran.complaint


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (status(grpc.StatusCode.NOT_FOUND, "no such decision", reason="NOT_FOUND"), 1),
        (status(grpc.StatusCode.ALREADY_EXISTS, "another outcome", reason="OUTCOME_DIFFERS"), 1),
        (status(grpc.StatusCode.PERMISSION_DENIED, "not you", reason="CONCERNED_MAY_NOT_CHANGE"), 1),
        (status(grpc.StatusCode.FAILED_PRECONDITION, "who may?", reason="APPROVERS_UNKNOWN"), 5),
        (status(grpc.StatusCode.PERMISSION_DENIED, "a proxy says no", reason=""), 5),
        (status(grpc.StatusCode.ABORTED, "others were first", reason="CONTENTION"), 5),
        (status(grpc.StatusCode.UNAVAILABLE, "disk", reason="LEDGER_UNAVAILABLE"), 5),
        (status(grpc.StatusCode.INVALID_ARGUMENT, "wrong", reason="INVALID_REQUEST"), 2),
    ],
)
def test_a_refusal_exits_with_1_and_a_temporary_failure_with_5(
    placet: Placet, server: ScriptedServer, answer: Callable[[bytes, grpc.ServicerContext], bytes], code: int
) -> None:
    server.script(REPORT, *[answer] * 9)
    assert placet(*ASKED, "succeeded", "--address", server.address, "--timeout", "0.3").code == code
