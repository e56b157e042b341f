"""Messages in: parsed once into frozen values, or refused with every field that is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from placet.actions.canonical_json import NotCanonicalError, digest
from placet.actions.document import action_binding, document, request_content
from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import (
    BATCH_ACTIONS_MAX,
    DELEGATION_MAX,
    DESTINATION_BYTES_MAX,
    EVIDENCE_MAX,
    IDEMPOTENCY_KEY_BYTES_MAX,
    LABEL_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
    ROLES_MAX,
    SHORT_LABEL_BYTES_MAX,
    STEP_BYTES,
    STEP_MAX,
    URI_BYTES_MAX,
    VIOLATIONS_MAX,
)
from placet.kernel.model import Action, Amount, Evidence, Identity, Model, Proposal, Run
from placet.kernel.money import EXPONENTS
from placet.kernel.steps import TOGETHER, exhausted
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.params import params_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.steps import Steps
    from placet.v1 import action_pb2, authorization_pb2

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z")


def parse_request(message: authorization_pb2.AuthorizeRequest, traceparent: str = "", prefix: str = "") -> Proposal:
    """The proposal. InvalidRequestError names every field that is wrong; `prefix` goes before their names."""
    return exhausted(parsing(message, traceparent, prefix))


def parsing(message: authorization_pb2.AuthorizeRequest, traceparent: str = "", prefix: str = "") -> Steps[Proposal]:
    """As `parse_request`, in steps."""
    fields = Fields(prefix)
    key = fields.identifier("idempotency_key", message.idempotency_key, IDEMPOTENCY_KEY_BYTES_MAX, required=True)
    approval_id = fields.identifier("approval_id", message.approval_id, SHORT_LABEL_BYTES_MAX)
    action = yield from _action(fields, message.action)
    identity = _identity(fields, message.identity)
    run = _run(fields, message.run, traceparent)
    model = _model(fields, message.model)
    evidence = _evidence(fields, message.evidence)
    if fields.violations:
        raise InvalidRequestError(fields.violations)
    if len(action.params) > STEP_BYTES:
        yield
    said = document(action, identity, run, model, evidence)
    action_digest = digest(action_binding(action, identity, run))
    request_digest = digest(request_content(action, identity, run, model, evidence))
    return Proposal(key, action, identity, run, model, evidence, said, action_digest, request_digest, approval_id)


def parse_batch(message: authorization_pb2.AuthorizeBatchRequest, traceparent: str = "") -> list[Proposal]:
    """The proposals, in order. InvalidRequestError when one is wrong, naming its index."""
    return exhausted(parsing_batch(message, traceparent))


def parsing_batch(message: authorization_pb2.AuthorizeBatchRequest, traceparent: str = "") -> Steps[list[Proposal]]:
    """As `parse_batch`, in steps."""
    count = len(message.requests)
    if not 1 <= count <= BATCH_ACTIONS_MAX:
        what = f"has {count} entries; must be 1 to {BATCH_ACTIONS_MAX}"
        raise InvalidRequestError([FieldViolation("requests", what)])
    proposals: list[Proposal] = []
    violations: list[FieldViolation] = []
    for index, request in enumerate(message.requests):
        try:
            proposals.append((yield from parsing(request, traceparent, f"requests[{index}].")))
        except InvalidRequestError as error:
            violations += error.violations
        if len(violations) > VIOLATIONS_MAX:
            break
        if not (index + 1) % TOGETHER or request.action.ByteSize() > STEP_BYTES:
            yield
    if not violations:
        violations += _batch_violations(proposals)
    if violations:
        raise InvalidRequestError(violations)
    return proposals


def _batch_violations(proposals: Sequence[Proposal]) -> list[FieldViolation]:
    fields = Fields()
    keys: dict[str, int] = {}
    for index, proposal in enumerate(proposals):
        if proposal.identity.tenant != proposals[0].identity.tenant:
            fields.wrong(f"requests[{index}].identity.tenant", "differs from requests[0]; a batch is of one tenant")
        first = keys.setdefault(proposal.idempotency_key, index)
        if first != index:
            fields.wrong(f"requests[{index}].idempotency_key", f"is that of requests[{first}]; keys must be distinct")
    return fields.violations


def trace_id_of(traceparent: str) -> str:
    """The trace id of a W3C traceparent; "" when it has none that is valid."""
    match = _TRACEPARENT.match(traceparent)
    return match.group(1) if match and set(match.group(1)) != {"0"} else ""


def _action(fields: Fields, message: action_pb2.Action) -> Steps[Action]:
    try:
        params = yield from params_of(message)
    except NotCanonicalError as error:
        fields.wrong(f"action.{message.WhichOneof('params')}", str(error))
        params = b"{}"
    return Action(
        tool=fields.tool("action.tool", message.tool),
        params=params,
        amount=_amount(fields, message.amount) if message.HasField("amount") else None,
        scope=fields.text("action.scope", message.scope, PRINCIPAL_BYTES_MAX),
        environment=fields.text("action.environment", message.environment, SHORT_LABEL_BYTES_MAX),
        destination=fields.text("action.destination", message.destination, DESTINATION_BYTES_MAX),
        dry_run=message.dry_run,
        tool_schema_version=fields.text(
            "action.tool_schema_version", message.tool_schema_version, SHORT_LABEL_BYTES_MAX
        ),
    )


def _amount(fields: Fields, message: action_pb2.Money) -> Amount:
    code = message.currency_code
    exponent = EXPONENTS.get(code)
    if not code:
        fields.wrong("action.amount.currency_code", "is required with an amount")
    elif exponent is None:
        fields.wrong("action.amount.currency_code", f"{code[:3]!r} is not an ISO 4217 code such as USD, in upper case")
    elif message.HasField("exponent") and message.exponent != exponent:
        what = f"is {message.exponent}; {code} has {exponent} decimal places"
        fields.wrong("action.amount.exponent", what)
    return Amount(code, fields.count("action.amount.minor_units", message.minor_units))


def _identity(fields: Fields, message: action_pb2.Identity) -> Identity:
    roles = fields.identifiers("identity.roles", message.roles, ROLES_MAX, LABEL_BYTES_MAX)
    return Identity(
        agent=fields.name("identity.agent", message.agent, PRINCIPAL_BYTES_MAX, required=True),
        tenant=fields.tenant("identity.tenant", message.tenant),
        user=fields.name("identity.user", message.user, PRINCIPAL_BYTES_MAX),
        roles=tuple(sorted(set(roles))),
        delegation=fields.names("identity.delegation", message.delegation, DELEGATION_MAX, PRINCIPAL_BYTES_MAX),
    )


def _run(fields: Fields, message: action_pb2.Run, traceparent: str) -> Run:
    return Run(
        run_id=fields.name("run.run_id", message.run_id, LABEL_BYTES_MAX),
        trace_id=fields.identifier("run.trace_id", message.trace_id, LABEL_BYTES_MAX) or trace_id_of(traceparent),
        step=fields.count("run.step", message.step, STEP_MAX),
        workflow=fields.name("run.workflow", message.workflow, LABEL_BYTES_MAX),
        planner=fields.identifier("run.planner", message.planner, LABEL_BYTES_MAX),
    )


def _model(fields: Fields, message: action_pb2.Model) -> Model:
    return Model(
        name=fields.text("model.name", message.name, LABEL_BYTES_MAX),
        prompt_version=fields.text("model.prompt_version", message.prompt_version, LABEL_BYTES_MAX),
        input_tokens=fields.count("model.input_tokens", message.input_tokens),
        output_tokens=fields.count("model.output_tokens", message.output_tokens),
        estimated_cost_micros=fields.count("model.estimated_cost_micros", message.estimated_cost_micros),
    )


def _evidence(fields: Fields, messages: Sequence[action_pb2.Evidence]) -> tuple[Evidence, ...]:
    if len(messages) > EVIDENCE_MAX:
        fields.wrong("evidence", f"has {len(messages)} entries; at most {EVIDENCE_MAX} are accepted")
        return ()
    return tuple(
        Evidence(
            uri=fields.text(f"evidence[{index}].uri", message.uri, URI_BYTES_MAX, required=True),
            sha256=fields.sha256(f"evidence[{index}].sha256", message.sha256),
        )
        for index, message in enumerate(messages)
    )
