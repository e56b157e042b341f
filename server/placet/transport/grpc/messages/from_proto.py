"""Parses request messages of AuthorizationService into frozen values, or names every field that is wrong."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from placet.actions.canonical_json import NotCanonicalError
from placet.actions.document import canonical_forms, canonical_identity
from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import (
    BATCH_ACTIONS_MAX,
    DESTINATION_BYTES_MAX,
    EVIDENCE_MAX,
    IDEMPOTENCY_KEY_BYTES_MAX,
    LABEL_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
    SHORT_LABEL_BYTES_MAX,
    STEP_BYTES,
    STEP_MAX,
    URI_BYTES_MAX,
    VIOLATIONS_MAX,
)
from placet.kernel.model import Action, Amount, Evidence, Model, Proposal, Run
from placet.kernel.money import EXPONENTS
from placet.kernel.steps import TOGETHER, exhausted
from placet.transport.grpc.messages.identity import identity_of
from placet.transport.grpc.messages.params import params_of
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import action_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.model import Identity
    from placet.kernel.steps import Steps
    from placet.v1 import authorization_pb2

_IDENTITIES: Final = 1_024
_IDENTITY_BYTES_MAX: Final = 1_024
"""Parsed identities that are kept, 4 MB at most: an agent sends the same one with each request. Parsing it again takes
5 us, finding it 1 us."""
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z")


def parse_request(message: authorization_pb2.AuthorizeRequest, traceparent: str = "", prefix: str = "") -> Proposal:
    """Return the proposal. InvalidRequestError names every field that is wrong, each name after `prefix`."""
    return exhausted(parsing(message, traceparent, prefix))


def parsing(
    message: authorization_pb2.AuthorizeRequest, traceparent: str = "", prefix: str = "", *, verified: bool = False
) -> Steps[Proposal]:
    """Return the same as `parse_request`, in steps.

    `verified` is whether authentication verified the tokens and says who proved the hops of a delegation.
    """
    validator = RequestValidator(prefix)
    key = validator.identifier("idempotency_key", message.idempotency_key, IDEMPOTENCY_KEY_BYTES_MAX, required=True)
    approval_id = validator.identifier("approval_id", message.approval_id, SHORT_LABEL_BYTES_MAX)
    action = yield from _action(validator, message.action)
    identity, identity_json = _known_identity(message.identity, verified=verified) or (
        identity_of(validator, message.identity, verified=verified),
        b"",
    )
    run = _run(validator, message.run, traceparent)
    model = _model(validator, message.model)
    evidence = _evidence(validator, message.evidence)
    validator.require_valid()
    if len(action.params) > STEP_BYTES:
        yield
    forms = canonical_forms(action, identity, run, model, evidence, identity_json)
    return Proposal(
        idempotency_key=key,
        action=action,
        identity=identity,
        run=run,
        model=model,
        evidence=evidence,
        document=forms.document,
        action_digest=forms.action_digest,
        request_digest=forms.request_digest,
        approval_id=approval_id,
        screened=forms.screened,
    )


def parse_batch(message: authorization_pb2.AuthorizeBatchRequest, traceparent: str = "") -> list[Proposal]:
    """Return the proposals, in order. InvalidRequestError names every field that is wrong, with its index."""
    return exhausted(parsing_batch(message, traceparent))


def parsing_batch(
    message: authorization_pb2.AuthorizeBatchRequest, traceparent: str = "", *, verified: bool = False
) -> Steps[list[Proposal]]:
    """Return the same as `parse_batch`, in steps."""
    count = len(message.requests)
    if not 1 <= count <= BATCH_ACTIONS_MAX:
        what = f"has {count} entries; must be 1 to {BATCH_ACTIONS_MAX}"
        raise InvalidRequestError([FieldViolation("requests", what)])
    proposals: list[Proposal] = []
    violations: list[FieldViolation] = []
    for index, request in enumerate(message.requests):
        try:
            proposals.append((yield from parsing(request, traceparent, f"requests[{index}].", verified=verified)))
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
    validator = RequestValidator()
    keys: dict[str, int] = {}
    for index, proposal in enumerate(proposals):
        if proposal.identity.tenant != proposals[0].identity.tenant:
            validator.violation(
                f"requests[{index}].identity.tenant", "differs from requests[0]; send a batch for each tenant"
            )
        first = keys.setdefault(proposal.idempotency_key, index)
        if first != index:
            validator.violation(
                f"requests[{index}].idempotency_key",
                f"is also the key of requests[{first}]; use a key for each request",
            )
    return validator.violations


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a W3C traceparent; "" if it has no valid one."""
    if not traceparent:
        return ""
    match = _TRACEPARENT.match(traceparent)
    return match.group(1) if match and set(match.group(1)) != {"0"} else ""


def _action(validator: RequestValidator, message: action_pb2.Action) -> Steps[Action]:
    try:
        params = yield from params_of(message)
    except NotCanonicalError as error:
        validator.violation(f"action.{message.WhichOneof('params')}", str(error))
        params = b"{}"
    return Action(
        tool=validator.tool("action.tool", message.tool),
        params=params,
        amount=_amount(validator, message.amount) if message.HasField("amount") else None,
        scope=validator.text("action.scope", message.scope, PRINCIPAL_BYTES_MAX),
        environment=validator.text("action.environment", message.environment, SHORT_LABEL_BYTES_MAX),
        destination=validator.text("action.destination", message.destination, DESTINATION_BYTES_MAX),
        dry_run=message.dry_run,
        tool_schema_version=validator.text(
            "action.tool_schema_version", message.tool_schema_version, SHORT_LABEL_BYTES_MAX
        ),
    )


def _amount(validator: RequestValidator, message: action_pb2.Money) -> Amount:
    code = message.currency_code
    exponent = EXPONENTS.get(code)
    if not code:
        validator.violation(
            "action.amount.currency_code", "is required with an amount; use an ISO 4217 code such as USD"
        )
    elif exponent is None:
        validator.violation(
            "action.amount.currency_code", f"{code[:3]!r} is not an ISO 4217 code; use one in upper case, such as USD"
        )
    elif message.HasField("exponent") and message.exponent != exponent:
        what = f"is {message.exponent}; {code} has {exponent} decimal places: use that number, or leave the field out"
        validator.violation("action.amount.exponent", what)
    return Amount(code, validator.count("action.amount.minor_units", message.minor_units))


def _known_identity(message: action_pb2.Identity, *, verified: bool) -> tuple[Identity, bytes] | None:
    """Return the identity and its canonical JSON; None for one that is not valid, or too large to be kept."""
    raw = message.SerializeToString()
    return _valid_identity(raw, verified) if len(raw) <= _IDENTITY_BYTES_MAX else None


@lru_cache(maxsize=_IDENTITIES)
def _valid_identity(raw: bytes, verified: bool) -> tuple[Identity, bytes] | None:  # noqa: FBT001 - a key of the cache
    validator = RequestValidator()
    identity = identity_of(validator, action_pb2.Identity.FromString(raw), verified=verified)
    return None if validator.violations else (identity, canonical_identity(identity))


def _run(validator: RequestValidator, message: action_pb2.Run, traceparent: str) -> Run:
    return Run(
        run_id=validator.name("run.run_id", message.run_id, LABEL_BYTES_MAX),
        trace_id=validator.identifier("run.trace_id", message.trace_id, LABEL_BYTES_MAX) or trace_id_of(traceparent),
        step=validator.count("run.step", message.step, STEP_MAX),
        workflow=validator.name("run.workflow", message.workflow, LABEL_BYTES_MAX),
        planner=validator.identifier("run.planner", message.planner, LABEL_BYTES_MAX),
    )


def _model(validator: RequestValidator, message: action_pb2.Model) -> Model:
    return Model(
        name=validator.text("model.name", message.name, LABEL_BYTES_MAX),
        prompt_version=validator.text("model.prompt_version", message.prompt_version, LABEL_BYTES_MAX),
        input_tokens=validator.count("model.input_tokens", message.input_tokens),
        output_tokens=validator.count("model.output_tokens", message.output_tokens),
        estimated_cost_micros=validator.count("model.estimated_cost_micros", message.estimated_cost_micros),
    )


def _evidence(validator: RequestValidator, messages: Sequence[action_pb2.Evidence]) -> tuple[Evidence, ...]:
    if not messages:
        return ()
    if len(messages) > EVIDENCE_MAX:
        validator.violation("evidence", f"has {len(messages)} entries; at most {EVIDENCE_MAX} are accepted")
        return ()
    return tuple(
        Evidence(
            uri=validator.text(f"evidence[{index}].uri", message.uri, URI_BYTES_MAX, required=True),
            sha256=validator.sha256(f"evidence[{index}].sha256", message.sha256),
        )
        for index, message in enumerate(messages)
    )
