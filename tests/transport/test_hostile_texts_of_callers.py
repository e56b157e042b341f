"""No text of any field of any call can forge a line of the log, control a terminal, or add a metric.

What the commands print is tested in tests/cli/test_hostile_texts.py.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving import settings
from tests.transport.authenticated import NamedPrincipals, serving_to
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.tenant_isolation import ATTACKER, POLICY, Belongings
from tests.transport.test_authenticated_isolation import everything_in
from tests.transport.test_isolation import ATTEMPTS
from tests.transport.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, MethodDescriptor
    from google.protobuf.message import Message

    from tests.serving import Server
    from tests.transport.authenticated import Callers

FORGED = "forged-entry"
HOSTILE = (
    f"x\n2026-01-01T00:00:00Z [error    ] {FORGED}\r\x1b[31m\x9b2J\x7f\u202eevil\u2028\u200b\x07\n"
    f'{{"event":"{FORGED}"}}\nplacet_{FORGED.replace("-", "_")} 1\n"}} 1\n'
)
DEPTH_MAX = 6
NOBODY = Belongings("key", "dec_1", "dec_2", "apr_1", "apr_2", "ks_1", "page", "tok_1", "permit")
Path = tuple[FieldDescriptor, ...]


@pytest.fixture(scope="module", params=["json", "text"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chosen = settings(tmp_path_factory.mktemp("hostile"), log_level="debug", log_format=request.param)
    (chosen.rego_dir / "config" / f"{ATTACKER}.yaml").write_text(POLICY)
    principals = {"mallory": everything_in(ATTACKER, "mallory"), "runtime": everything_in("acme", "r")}
    with serving_to(NamedPrincipals(principals), chosen) as running:
        yield running


def text_fields(descriptor: Descriptor, depth: int = 0) -> Iterator[Path]:
    """Yield the way to each text in a message, also within other messages and lists."""
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING or _is_struct(field):
            yield (field,)
        elif field.message_type is not None and depth < DEPTH_MAX:
            yield from ((field, *rest) for rest in text_fields(field.message_type, depth + 1))


def put(message: Any, path: Path, text: str) -> None:
    """Put the text into a field. A list gets an entry if it has none."""
    field, *rest = path
    value = getattr(message, field.name)
    if not rest:
        if _is_struct(field):
            value.update({text: text})
        elif field.is_repeated:
            value.append(text)
        else:
            setattr(message, field.name, text)
        return
    for part in (value or [value.add()]) if field.is_repeated else [value]:
        put(part, tuple(rest), text)


def _is_struct(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == Struct.DESCRIPTOR.full_name


def requests(name: str, method: MethodDescriptor) -> Iterator[tuple[str, Message]]:
    """Yield a request for each of its texts, which is hostile. The rest is as an attempt of the isolation test."""
    attempt = ATTEMPTS[name](NOBODY)[0].fields
    for path in text_fields(method.input_type):
        message = ParseDict(attempt, message_class(method)())
        put(message, path, HOSTILE)
        yield ".".join(field.name for field in path), message


@pytest.mark.parametrize("name", sorted(every_rpc()))
def test_no_field_of_a_call_forges_a_line(
    server: Server, callers: Callers, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    method = every_rpc()[name]
    sent = list(requests(name, method))
    assert sent or not list(text_fields(method.input_type))
    for place, message in sent:
        answer = callers.call("mallory", method, [message])
        if isinstance(answer, Refusal):
            assert answer.code.name != "INTERNAL", place
    require_whole_lines(capfd.readouterr().err)
    require_own_metrics(server)
    require_own_records(server)


@pytest.mark.parametrize("header", ["traceparent", "user-agent-of", "x-request-id", "grpc-previous-rpc-attempts"])
def test_no_header_forges_a_line(callers: Callers, header: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With what HTTP lets through: blanks, quotes and braces. The rest is in test_metadata_attacks.py."""
    method = every_rpc()["AuthorizationService.Authorize"]
    message = ParseDict(ATTEMPTS["AuthorizationService.Authorize"](NOBODY)[3].fields, message_class(method)())
    message.idempotency_key = header  # type: ignore[attr-defined] # it is the message of Authorize
    path = f"/{method.containing_service.full_name}/{method.name}"
    hostile = (header, f'x [error    ] {FORGED} {{"event":"{FORGED}"}}')
    call = callers.channel.unary_unary(path, None, None)
    assert call(message.SerializeToString(), metadata=(("authorization", "Bearer mallory"), hostile), timeout=30)
    require_whole_lines(capfd.readouterr().err)


def require_whole_lines(log: str) -> None:
    """Check that each line is an entry, or belongs to the one before, and has no character that controls a terminal."""
    assert all(char == "\n" or char.isprintable() for char in log)
    for line in log.splitlines():
        assert not line.startswith((f'{{"event":"{FORGED}', "2026-01-01T00:00:00Z", "placet_forged")), line
        if line.startswith("{"):
            assert json.loads(line)["event"] != FORGED


def require_own_metrics(server: Server) -> None:
    exposed = generate_latest(server.running.metrics.registry).decode()
    families = list(text_string_to_metric_families(exposed))
    assert not [family.name for family in families if "forged" in family.name]
    labels = [text for family in families for sample in family.samples for text in sample.labels.values()]
    assert not [text for text in labels if FORGED in text], "labels are no texts of callers"


def require_own_records(server: Server) -> None:
    assert not [path for path in server.data_dir.rglob("*") if FORGED in path.name or os.linesep in path.name]
    assert server.run(server.running.ledger.verify()).ok
