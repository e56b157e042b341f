"""A secret that a caller lets slip comes out nowhere: no file, log line, metric, webhook or error holds it."""

from __future__ import annotations

import contextlib
import json
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from google.protobuf.json_format import ParseDict
from psycopg import sql

from placet.sdk import (
    Action,
    ApprovalClient,
    AuditClient,
    CallFailedError,
    Client,
    ControlClient,
    Evidence,
    Identity,
    KillScope,
    Model,
    Person,
    Query,
    Run,
)
from placet.sdk.decision import Autonomy
from placet.v1 import audit_pb2, authorization_pb2
from tests.faults.serving import eventually, free_address
from tests.transport.wire import AUTHORIZE, GET, QUERY, Refusal, Wire
from tests.webhooks.receiving import SECRET, receiving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.serving import Server

SECONDS_MAX: Final = 20.0
CARD: Final = "4111\u200b1111\u200b1111\u200b1111"
IDENTITY: Final = Identity("support-agent", "acme", "u_1", ["support"])
WEBHOOKS: Final = 7
"""Three made, one approved, one used, one rejected, one cancelled."""
LEAD: Final = Person("u_lead", ["support_lead"])
RUN: Final = Run("run_canary", workflow="customer-support")


class Canaries:
    """Secrets, each said in one place only, by that place."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {"card": CARD, "plain card": "4111111111111111"}

    def __call__(self, place: str) -> str:
        """The secret that is said there."""
        return self.said.setdefault(place, f"Kanarien{uuid.uuid4().hex[:12]}")

    def found_in(self, where: str, content: bytes) -> list[str]:
        """The places whose secrets stand in the content."""
        return [f"{place} in {where}" for place, secret in self.said.items() if secret.encode() in content]


def names_and_texts(canary: Canaries) -> dict[str, Any]:
    """Parameters that hold secrets under names and within texts."""
    names = ("password", "dbPassword", "Authorization", "x-api-key", "access_token", "set-cookie", "privateKey", "ssn")
    nested = {"config": [{"client_secret": canary("nested name"), "cvv": 737, "pin": {"code": canary("deep")}}]}
    texts: dict[str, Any] = {
        "url": f"https://example.org/cb?x=1&token={canary('query')}#access_token={canary('fragment')}",
        "userinfo": f"https://admin:{canary('userinfo')}@example.org/",
        "signed": f"https://b.example.org/o?X-Amz-Signature={canary('signature')}",
        "header": f"Cookie: a=1; session={canary('cookie line')}\nX-Api-Key: {canary('header line')}",
        "env": f"DB_PASSWORD={canary('env file')}\n",
        "json": json.dumps(json.dumps({"apiKey": canary("json in json")})),
        "command": f"mysql --password {canary('flag')} -u root",
        "card": f"paid by {CARD}",
        "curl": f"curl -u admin:{canary('curl')} https://example.org",
        "mysql": f"mysql -u root -p{canary('mysql')}",
        "xml": f"<password>{canary('xml')}</password>",
        "multipart": f'form-data; name="password"\r\n\r\n{canary("multipart")}\r\n--x--',
        "html": f'<input name="password" value="{canary("html")}">',
        "sql": f"CREATE USER a IDENTIFIED BY '{canary('sql')}'",
        "encoded name": f"https://example.org/?%74oken={canary('encoded name')}",
        "headers": [["Authorization", canary("two-item list")]],
        **{
            name: canary(name) for name in ("p\u0430ssword", "passw0rd", "contraseña", "mot_de_passe", "пароль", "密码")
        },
        f"token={canary('key of params')}": 1,
    }
    return {**{name: canary(name) for name in names}, **nested, **texts}


def decided(placet: Client, canary: Canaries) -> None:
    """Actions of every effect, with secrets in every text that is not an identity."""
    said: dict[str, Any] = {
        "destination": f"https://example.org/?token={canary('destination')}",
        "environment": f"token={canary('environment')}",
        "scope": f"api_key={canary('scope')}",
        "tool_schema_version": f"secret={canary('schema version')}",
    }
    evidence = [Evidence(f"https://example.org/doc?sig={canary('evidence')}")]
    model = Model(f"gpt password={canary('model')}", f"p token={canary('prompt version')}")
    for tool in ("kb.search", "mail.send", "jira.create_ticket"):
        action = Action(tool, names_and_texts(canary), **said)
        placet.authorize(action, IDENTITY, run=RUN, model=model, evidence=evidence)
    read = placet.authorize(Action("kb.search", {"pan": int(canary.said["plain card"])}), IDENTITY, run=RUN)
    placet.report_outcome(read, "failed", error_class=f"password={canary('error class')}")


def asked(placet: Client, canary: Canaries, place: str) -> tuple[Action, str]:
    """An action that waits for people, whose exact parameters hold a secret."""
    action = Action("zendesk.reply", {"body": f"{canary(place)} " + "x" * 9_000, "ticket": 7})
    decision = placet.authorize(action, IDENTITY, run=RUN)
    assert decision.approval is not None
    return action, decision.approval.id


def voted(server: Server, placet: Client, canary: Canaries) -> None:
    """Requests for approval that end in each way that a person can end them."""
    with ApprovalClient(server.address) as approvals:
        used, used_id = asked(placet, canary, "approval that is used")
        _, rejected_id = asked(placet, canary, "approval that is rejected")
        _, cancelled_id = asked(placet, canary, "approval that is cancelled")
        approvals.approve("acme", used_id, LEAD, reason=f"the token: {canary('vote')}")
        assert placet.authorize(used, IDENTITY, run=RUN, approval_id=used_id).allowed
        approvals.reject("acme", rejected_id, LEAD, f"password={canary('rejection')}")
        approvals.cancel("acme", cancelled_id, Person("u_1"), f"api key: {canary('cancellation')}")
        with contextlib.suppress(CallFailedError):
            approvals.reject("acme", rejected_id, LEAD, f"secret={canary('refused vote')}")


def steered(server: Server, canary: Canaries) -> None:
    """Controls, each with a secret in the reason."""
    with ControlClient(server.address) as control:
        made = control.set_kill_switch(
            KillScope.TOOL, "datadog.query", tenant="acme", actor="u_ops", reason=f"token={canary('kill reason')}"
        )
        control.clear_kill_switch(
            made.kill_switch.id, tenant="acme", actor="u_ops", reason=f"pwd={canary('clear reason')}"
        )
        control.set_autonomy(
            "acme", Autonomy.OBSERVE_ONLY, actor="u_ops", reason=f"pin={canary('autonomy reason')}", tool="kb.search"
        )


def refused(server: Server, canary: Canaries) -> list[str]:
    """Requests that break the contract; what the errors said."""
    bad: list[dict[str, Any]] = [
        {"action": {"params_json": f'{{"password": "{canary("cut off")}"'}},
        {"action": {"params_json": f'{{"a": {{"token={canary("bad key")}": 1e999}}}}'}},
        {"action": {"params_json": f'{{"password={canary("key twice")}": {{"a": 1, "a": 2}}}}'}},
        {"action": {"tool": f"token={canary('tool')}"}},
        {"action": {"amount": {"currency_code": f"pin={canary('currency')}"}}},
        {"action": {"environment": f"pin={canary('control character')}\x00"}},
        {"identity": {"tenant": f"token={canary('tenant')}"}},
        {"evidence": [{"uri": "x", "sha256": f"token={canary('sha256')}"}]},
        *({"identity": {name: f"password={canary(name)}"}} for name in ("agent", "user")),
        *({"identity": {name: ["a", f"token={canary(name)}"]}} for name in ("roles", "delegation")),
        {"identity": {"delegation_chain": [{"principal": f"token={canary('principal')}", "scopes": ["*"]}]}},
        {"identity": {"delegation_chain": [{"principal": "a", "scopes": [f"token={canary('hop scope')}"]}]}},
        {"identity": {"delegation_chain": [{"principal": "a", "scopes": ["*"], "token": canary("hop token")}]}},
        {"identity": {"delegation_chain": [{"principal": "a", "scopes": ["*"], "proven_by": canary("issuer")}]}},
        *({"run": {name: f"token={canary(name)}"}} for name in ("run_id", "trace_id", "workflow", "planner")),
        *({name: f"api_key={canary(name)}"} for name in ("idempotency_key", "approval_id")),
    ]
    wire = Wire(server.address)
    told = []
    try:
        for changes in bad:
            said = {
                "idempotency_key": uuid.uuid4().hex,
                **changes,
                "action": {"tool": "kb.search", **changes.get("action", {})},
                "identity": {"agent": "a", "tenant": "acme", **changes.get("identity", {})},
                "evidence": changes.get("evidence", []),
            }
            message = ParseDict(said, authorization_pb2.AuthorizeRequest())
            told.append(refusal_of(wire, AUTHORIZE, message.SerializeToString()))
        page = audit_pb2.QueryDecisionsRequest(tenant="acme", page_token=f"token={canary('page token')}")
        told.append(refusal_of(wire, QUERY, page.SerializeToString()))
        one = audit_pb2.GetDecisionRequest(tenant="acme", decision_id=f"token={canary('decision id')}")
        told.append(refusal_of(wire, GET, one.SerializeToString()))
    finally:
        wire.close()
    return [*told, *refused_controls(server, canary)]


def refused_controls(server: Server, canary: Canaries) -> list[str]:
    """Controls of ids that hold a secret; what the errors said."""

    def kill(scope: KillScope, value: str, actor: str = "u_ops") -> Callable[[], object]:
        return lambda: control.set_kill_switch(scope, value, tenant="acme", actor=actor, reason="why")

    told = []
    with ControlClient(server.address) as control:
        calls: list[Callable[[], object]] = [
            *(kill(scope, f"token={canary(scope)}") for scope in (KillScope.AGENT, KillScope.WORKFLOW, KillScope.RUN)),
            kill(KillScope.AGENT, "a", f"token={canary('actor')}"),
            lambda: control.set_autonomy(
                "acme", Autonomy.OBSERVE_ONLY, actor="u_ops", reason="why", agent=f"pwd={canary('autonomy')}"
            ),
            lambda: control.adjust_budget(
                "acme", "x", f"user:token={canary('scope key')}", 1, actor="u_ops", reason="why"
            ),
        ]
        for call in calls:
            with pytest.raises(CallFailedError, match="send an id without it") as error:
                call()
            told.append(str(error.value))
    return told


def refusal_of(wire: Wire, method: str, raw: bytes) -> str:
    try:
        wire.raw(method, raw)
    except Refusal as refusal:
        return f"{refusal.text} {refusal.violations}"
    return ""


def told_by(server: Server, metrics: str) -> dict[str, bytes]:
    """What anybody can read of it: log, metrics, answers about the past."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        told = {"log": server.said.encode(), "metrics": answer.read()}
    with AuditClient(server.address) as audit, ApprovalClient(server.address) as approvals:
        told["audit"] = repr(audit.query(Query("acme", page_size=500))).encode()
        told["approvals"] = repr(approvals.list("acme")).encode()
    return told


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of the data directory."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_socket()}


def rows_of(postgres_url: str) -> dict[str, bytes]:
    """The rows of a PostgreSQL database, by table."""
    with psycopg.connect(postgres_url) as database:
        tables = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        contents = {}
        for (table,) in tables:
            rows = database.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            contents[table] = repr(rows).encode()
    return contents


def scenario(server: Server, canary: Canaries) -> list[str]:
    """All that callers, people and operators do; the texts of the errors that they got."""
    with Client(server.address) as placet:
        decided(placet, canary)
        voted(server, placet, canary)
    steered(server, canary)
    return refused(server, canary)


def leaks(canary: Canaries, contents: dict[str, bytes]) -> list[str]:
    return [leak for where, content in contents.items() for leak in canary.found_in(where, content)]


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_no_secret_comes_out(serve: Callable[..., Server], request: pytest.FixtureRequest, store: str) -> None:
    canary, metrics = Canaries(), free_address()
    url = request.getfixturevalue("postgres_url") if store == "postgresql" else ""
    with receiving() as hook:
        server = serve(
            log_level="debug",
            metrics_listen=metrics,
            webhook_url=hook.url,
            webhook_secret=SECRET,
            webhook_allow_private_networks=True,
            checkpoint_interval_seconds=1,
            **({"database_url": url} if url else {}),
        )
        errors = scenario(server, canary)
        assert len(canary.said) > len(errors) > 0
        assert all(errors)
        eventually(lambda: len(hook.requests) >= WEBHOOKS, SECONDS_MAX, "webhooks")
        eventually(lambda: not leaks(canary, files_of(server.data_dir)), SECONDS_MAX, "gone from files")
        told = {**told_by(server, metrics), "errors": "\n".join(errors).encode()}
        told["webhooks"] = b"\n".join(request.body for request in hook.requests)
        assert leaks(canary, {**told, **(rows_of(url) if url else {})}) == []
        assert server.stop() == 0
    assert leaks(canary, {"log": server.said.encode(), **files_of(server.data_dir)}) == []
