"""Calls that are refused to their callers are recorded, counted and logged, never with what proves who they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import ParseDict

from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.identity.refusal_samples import RefusalSamples
from placet.kernel.errors import LedgerUnavailableError, PermissionDeniedError, UnauthenticatedError
from placet.kernel.limits import REFUSED_ACCESS_RECORDED
from placet.kernel.model import Caller
from placet.transport.grpc.interceptors.refused_access import RefusedAccessRecorder, host_of
from tests.serving import settings
from tests.support.fakes import FixedClock
from tests.transport.authenticated import Callers, NamedPrincipals, serving_to
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving import Server

TENANT = "acme"
RUNTIME = Principal(
    Caller("ci-runtime", method="jwt", issuer="https://id.example.com"),
    (Grant(Role.AGENT_RUNTIME, frozenset({TENANT}), ("support-*",), UserAssertion.TOKEN),),
)
OPERATOR = Principal(Caller("ops", method="token"), (Grant(Role.OPERATOR, frozenset({TENANT})),), "olga")
SECRET = "s3cret-credential-of-nobody"  # noqa: S105 - made up
USER_TOKEN = "s3cret-user-token"  # noqa: S105 - made up


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    principals = NamedPrincipals({"runtime": RUNTIME, "operator": OPERATOR})
    with serving_to(principals, settings(tmp_path, log_level="warning")) as made:
        yield made


@pytest.fixture
def callers(server: Server) -> Iterator[Callers]:
    made = Callers(server)
    yield made
    made.channel.close()


def refuse(callers: Callers, name: str, rpc: str = "Authorize", **identity: str) -> str:
    """Make a call that is refused; returns the reason."""
    method = every_rpc()[f"AuthorizationService.{rpc}"]
    fields: dict[str, Any] = {
        "idempotency_key": "k",
        "action": {"tool": "kb.search", "params_json": "{}"},
        "identity": {"agent": "support-1", "tenant": TENANT, **identity},
    }
    if rpc == "AuthorizeStream":
        fields = {"requests": [{"id": "1", "request": fields}]}
    answer = callers.call(name, method, [ParseDict(fields, message_class(method)())])
    return answer.reason if isinstance(answer, Refusal) else str(answer)


def test_a_stranger_is_recorded(server: Server, callers: Callers, capfd: pytest.CaptureFixture[str]) -> None:
    assert refuse(callers, SECRET) == "CREDENTIAL_INVALID"
    [record] = server.records("access.refused")
    assert record["tenant"] == "", "a request is not read before its caller is known"
    expected = {"caller": "unauthenticated", "method": "Authorize", "reason": "CREDENTIAL_INVALID", "left_out": 0}
    assert expected.items() <= record["body"].items()
    assert record["parts"]["access"] == {"host": "ipv4:127.0.0.1", "text": "no such principal"}
    log = capfd.readouterr().err
    assert '"event": "access refused"' in log
    assert "cause of" in log


def test_a_caller_that_may_not_is_recorded_in_the_tenant_that_it_names(server: Server, callers: Callers) -> None:
    assert refuse(callers, "runtime", agent="billing-1") == "AGENT_NOT_GRANTED"
    assert refuse(callers, "runtime", tenant="globex") == "TENANT_NOT_GRANTED"
    assert refuse(callers, "runtime", tenant="no\x1b[31m tenant\n") == "TENANT_NOT_GRANTED"
    assert "AGENT_NOT_GRANTED" in refuse(callers, "runtime", "AuthorizeStream", agent="billing-1")
    records = server.records("access.refused")
    assert [(record["tenant"], record["body"]["reason"]) for record in records] == [
        (TENANT, "AGENT_NOT_GRANTED"),
        ("globex", "TENANT_NOT_GRANTED"),
        ("", "TENANT_NOT_GRANTED"),
        (TENANT, "AGENT_NOT_GRANTED"),
    ]
    who = {"caller": "ci-runtime", "caller_method": "jwt", "caller_issuer": "https://id.example.com"}
    assert all(who.items() <= record["body"].items() for record in records)
    assert server.run(server.running.ledger.verify()).ok


def test_neither_records_nor_logs_have_a_credential(
    server: Server, callers: Callers, capfd: pytest.CaptureFixture[str]
) -> None:
    refuse(callers, f"{SECRET}")
    assert refuse(callers, "runtime", user_token=USER_TOKEN) == "CREDENTIAL_INVALID"
    assert len(server.records("access.refused")) == 2
    stored = b"".join(file.read_bytes() for file in server.data_dir.glob("placet.db*"))
    assert USER_TOKEN.encode() not in stored
    assert SECRET.encode() not in stored
    assert USER_TOKEN not in capfd.readouterr().err


def test_an_attack_is_sampled_and_counted(server: Server, callers: Callers) -> None:
    times = 4 * REFUSED_ACCESS_RECORDED
    for _ in range(times):
        refuse(callers, "runtime", agent="billing-1")
    assert len(server.records("access.refused")) == REFUSED_ACCESS_RECORDED
    metric = server.running.metrics.access_refused.labels("AGENT_NOT_GRANTED")
    assert metric._value.get() == times


def operate(callers: Callers, rpc: str, **fields: Any) -> Any:
    return callers.ask("operator", f"ControlService.{rpc}", **fields, reason="r")


def test_a_call_that_state_refuses_is_no_refused_access(server: Server, callers: Callers) -> None:
    switch = operate(callers, "SetKillSwitch", scope={"whole_tenant": True, "tenant": TENANT}).kill_switch.id
    clear = {"kill_switch_id": switch, "tenant": TENANT}
    assert not operate(callers, "ClearKillSwitch", **clear).cleared
    refused = operate(callers, "ClearKillSwitch", **clear)
    assert (refused.code.name, refused.reason) == ("PERMISSION_DENIED", "SECOND_PERSON_NEEDED")
    assert server.records("control.refused")
    assert not server.records("access.refused")


class FailingBatcher:
    """A batcher whose ledger is unavailable."""

    async def submit(self, *_: Any) -> None:
        raise LedgerUnavailableError("down")


class Reports:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def access_refused(self, reason: str) -> None:
        self.reasons.append(reason)

    def access_refusal_recorded(self, *_: Any) -> None:
        self.reasons.append("recorded")


def test_a_call_stays_refused_when_it_cannot_be_recorded() -> None:
    samples, reports = RefusalSamples(lambda: 0.0), Reports()
    batcher: Any = FailingBatcher()
    recorder = RefusedAccessRecorder(batcher, FixedClock(), samples, reports)
    error = UnauthenticatedError("CREDENTIAL_INVALID", "no")
    asyncio.run(recorder.record(Caller(peer="ipv4:192.0.2.1:5"), "Authorize", None, error))
    assert reports.reasons == ["CREDENTIAL_INVALID", "recorded"]
    assert samples.take("b", "R", stranger=False) == 1, "the next record tells that one is missing"


class CountingBatcher:
    """Counts the records."""

    def __init__(self) -> None:
        self.records = 0

    async def submit(self, records: Any, _flow: Any) -> None:
        self.records += len(records)


def test_a_caller_of_the_same_name_in_another_tenant_hides_nothing() -> None:
    """Admins write the ids of people: one of another tenant could else use up what is recorded for a person."""
    batcher: Any = CountingBatcher()
    recorder = RefusedAccessRecorder(batcher, FixedClock(), RefusalSamples(lambda: 0.0), Reports())
    error = PermissionDeniedError("TENANT_NOT_GRANTED", "no")
    for owner in ("acme/", "globex/"):
        caller = Caller("dana", method="token", person="dana", owner=owner)
        for _ in range(3 * REFUSED_ACCESS_RECORDED):
            asyncio.run(recorder.record(caller, "Authorize", None, error))
    assert batcher.records == 2 * REFUSED_ACCESS_RECORDED


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.1:5000", "ipv4:192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:5000", "ipv6:%5B2001:db8::1%5D"),
        ("unix:/run/placet.sock", "unix:/run/placet.sock"),
        ("", ""),
    ],
)
def test_the_port_of_a_caller_does_not_matter(peer: str, host: str) -> None:
    assert host_of(peer) == host
