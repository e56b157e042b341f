"""From the message to the record and back, for any request and anything that an engine may say."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placet.audit.records import DecisionQuery, RecordedDecision
from placet.audit.tool_call_event import tool_call_event
from placet.decision.attempt import Request
from placet.kernel.errors import IdempotencyConflictError
from placet.kernel.model import Caller, Decision, Effect, Indeterminate, Verdict
from placet.kernel.rule_ids import REASONS
from placet.sdk._wire.decode import decision_from_proto
from placet.transport.grpc.messages.from_proto import parse_request
from placet.transport.grpc.messages.to_proto import recorded_decision_to_proto
from placet.v1 import audit_pb2
from tests.properties.messages import honest, json_objects, lying, message_of, messages, seen_by_policy
from tests.support.fakes import AGENT_POLICIES, NOW_US, Bench, ScriptedPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from placet.decision.replies import Answer

Said = dict[str, Any]
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy."""
failing = st.sampled_from(sorted(REASONS)).map(lambda rule_id: Indeterminate(rule_id, "cause"))
batches = st.lists(st.tuples(messages, honest | lying | failing), min_size=1, max_size=8)


class Asked:
    """A batch decided by an engine that says what it is given, one verdict after the other."""

    def __init__(self, batch: list[Said], verdicts: Iterable[Verdict | Indeterminate]) -> None:
        script = iter(verdicts)
        self.bench = Bench(ScriptedPolicy(lambda _: next(script)))
        self.requests = [Request(parse_request(message_of(said)), Caller(peer="p"), NOW_US - 1) for said in batch]
        self.answers: list[Answer] = []
        self.recorded: dict[str, RecordedDecision] = {}
        asyncio.run(self._decide())

    async def _decide(self) -> None:
        self.answers = list(await self.bench.point.decide(self.requests))
        for tenant in {request.proposal.identity.tenant for request in self.requests}:
            page = await self.bench.ledger.query_decisions(DecisionQuery(tenant=tenant, page_size=500))
            self.recorded.update({each.decision.decision_id: each for each in page.decisions})
        assert (await self.bench.ledger.verify()).ok


def as_doubles(document: Said) -> Any:
    """With every number as JSON readers take it; RFC 8785 writes 1.5e16 without its exponent."""
    return json.loads(json.dumps(document), parse_int=float)


def may_allow(said: Said, given_: Verdict | Indeterminate | None) -> bool:
    """Whether anything but a deny is right, by the words of the invariants."""
    policy = AGENT_POLICIES.get(said["identity"]["tenant"])
    if policy is None or said["action"]["tool"] == "nothing.such" or not isinstance(given_, Verdict):
        return False
    kinds = {finding.effect for finding in given_.findings}
    return kinds == {Effect.ALLOW} and given_.effect is Effect.ALLOW


@given(messages, honest)
@PATIENT
def test_what_is_said_is_what_policy_sees_and_what_is_recorded(said: Said, answer: Verdict) -> None:
    said["identity"]["tenant"] = "open"
    said["action"]["tool"] = "pay"
    asked = Asked([said], [answer])
    [decision] = asked.answers
    assert isinstance(decision, Decision)
    recorded = asked.recorded[decision.decision_id]
    assert recorded.decision == decision
    held = json.loads(recorded.input_json)
    assert held.pop("facts") == {"tool": {"class": "write"}, "autonomy": "execute", "budgets": {}}
    assert held.pop("now") == "2026-04-24T18:33:01.123456Z"
    assert as_doubles(held) == as_doubles(seen_by_policy(said))
    assert [json.loads(recorded.input_json)] == asked.bench.policy.seen
    assert recorded.replayable
    assert tool_call_event(recorded) == {
        "trace_id": said["run"]["trace_id"],
        "run_id": said["run"]["run_id"],
        "user": {"id": said["identity"]["user"], "tenant": "open"},
        "model": {key: said["model"][key] for key in ("name", "prompt_version", "input_tokens", "output_tokens")},
        "tool": {"name": "pay", "scope": said["action"]["scope"], "dry_run": said["action"]["dry_run"]},
        "policy": {"decision": decision.effect.value, "rule_id": decision.rule_id},
        "result": None,
    }


@given(messages, honest, json_objects)
@PATIENT
def test_what_is_recorded_reads_the_same_at_the_client(said: Said, answer: Verdict, details: Said) -> None:
    said["identity"]["tenant"] = "open"
    said["action"]["tool"] = "pay"
    findings = tuple(type(each)(each.effect, each.rule_id, each.reason, details) for each in answer.findings)
    asked = Asked([said], [Verdict(answer.effect, answer.rule_id, findings, answer.policy_revision)])
    [recorded] = asked.recorded.values()
    raw = recorded_decision_to_proto(recorded, "{}").SerializeToString()
    message = audit_pb2.RecordedDecision.FromString(raw)
    read = decision_from_proto(message.decision, message.idempotency_key)
    stored = recorded.decision
    assert (read.effect.value, read.rule_id, read.reason) == (stored.effect.value, stored.rule_id, stored.reason)
    assert (read.decision_id, read.action_digest) == (stored.decision_id, stored.action_digest)
    assert [each.details for each in read.findings] == [each.details for each in stored.findings]
    assert read.failure is None
    assert (read.approval is None) == (stored.approval is None)
    assert json.loads(message.input_json) == json.loads(recorded.input_json)
    assert message.idempotency_key == said["idempotency_key"]


@given(batches)
@settings(PATIENT, max_examples=200)
def test_deny_wins_on_the_whole_path_and_order_is_kept(batch: list[tuple[Said, Verdict | Indeterminate]]) -> None:
    check_that_deny_wins(batch)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@given(batches)
@settings(PATIENT, max_examples=10_000)
def test_deny_wins_in_many_batches(batch: list[tuple[Said, Verdict | Indeterminate]]) -> None:
    check_that_deny_wins(batch)


def check_that_deny_wins(batch: list[tuple[Said, Verdict | Indeterminate]]) -> None:
    said = [each for each, _ in batch]
    open_ = [
        index
        for index, each in enumerate(said)
        if each["identity"]["tenant"] in AGENT_POLICIES and each["action"]["tool"] != "nothing.such"
    ]
    asked = Asked(said, [batch[index][1] for index in open_])
    assert asked.bench.errors == []
    assert len(asked.recorded) == len(batch)
    for index, ((each, verdict), answer) in enumerate(zip(batch, asked.answers, strict=True)):
        assert isinstance(answer, Decision)
        assert answer.action_digest == asked.requests[index].proposal.action_digest
        recorded = asked.recorded[answer.decision_id].decision
        assert (recorded.effect, recorded.rule_id) == (answer.effect, answer.rule_id)
        denies = isinstance(verdict, Verdict) and any(found.effect is Effect.DENY for found in verdict.findings)
        if answer.effect is Effect.ALLOW:
            assert may_allow(each, verdict)
        if denies or index not in open_ or isinstance(verdict, Indeterminate):
            assert answer.effect is Effect.DENY
        if index in open_ and isinstance(verdict, Indeterminate):
            assert answer.rule_id == verdict.rule_id


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["look", "pay"])), min_size=1, max_size=10))
@PATIENT
def test_the_first_content_of_a_key_is_its_only_one(calls: list[tuple[str, str]]) -> None:
    said = {
        "action": {"params": {}, "amount": None},
        "identity": {"agent": "a", "tenant": "open"},
        "run": {},
        "model": {},
        "evidence": [],
    }
    batch = [{**said, "idempotency_key": key, "action": {**said["action"], "tool": tool}} for key, tool in calls]  # type: ignore[dict-item]
    asked = Asked(batch, [Verdict(Effect.DENY, "pdp.no_rule_matched", (), "rev1")] * len(calls))
    first: dict[str, str] = {}
    told: dict[str, str] = {}
    for (key, tool), answer in zip(calls, asked.answers, strict=True):
        if first.setdefault(key, tool) != tool:
            assert isinstance(answer, IdempotencyConflictError)
        else:
            assert isinstance(answer, Decision)
            assert told.setdefault(key, answer.decision_id) == answer.decision_id
    assert len(asked.recorded) == len(first)


@given(messages, st.permutations(range(3)))
@PATIENT
def test_the_digest_is_of_the_meaning_and_not_of_the_spelling(said: Said, order: list[int]) -> None:
    message = message_of(said)
    base = parse_request(message)
    items = list(said["action"]["params"].items())
    shuffled = dict(sorted(items, key=lambda item: (order[len(item[0]) % 3], item[0])))
    message.action.params_json = json.dumps(shuffled, indent=1, ensure_ascii=False)
    message.identity.roles.extend(list(message.identity.roles))
    again = parse_request(message)
    assert (again.action_digest, again.request_digest) == (base.action_digest, base.request_digest)
    assert again.document == base.document
