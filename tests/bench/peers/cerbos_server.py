"""Cerbos, another policy decision point: stateless, in Go. Its pinned npm package holds the program."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.bench import load, raw_load
from tests.bench.checkouts import HERE_ROOT
from tests.bench.peers.processes import running
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from tests.bench.load import Amount, Load
    from tests.bench.peers.question import Question
    from tests.bench.raw_load import Sending

VERSION: Final = "0.55"
SOURCE: Final = Path(__file__).with_name("cerbos")
INSTALLED: Final = HERE_ROOT / ".cache/peers"
PROGRAM: Final = INSTALLED / "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64"
METHOD: Final = "cerbos.svc.v1.CerbosService/CheckResources"
ALLOWED: Final = "refund\x10\x01"
"""In an answer that allows: the entry of the action `refund` with EFFECT_ALLOW, 1, in field 2."""


@dataclass(frozen=True, slots=True)
class Cerbos:
    """A running Cerbos."""

    address: str

    def ask(self, question: Question) -> bool:
        """Return whether it allows the refund."""
        request, response = _messages(self.address)
        with grpc.insecure_channel(self.address) as channel:
            check = channel.unary_unary(
                f"/{METHOD}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
            )
            answer = MessageToDict(check(ParseDict(query(question, "peers"), request()), timeout=10))
        return bool(answer["results"][0]["actions"]["refund"] == "EFFECT_ALLOW")

    def ghz(self, question: Question, callers: int, amount: Amount) -> Load:
        """Send the question by ghz."""
        return load.ghz(self.address, ["--call", METHOD], callers, amount, query(question, "{{newUUID}}"))

    def unary(self, question: Question, sending: Sending) -> Load:
        """Send the question by loadgen."""
        request, _ = _messages(self.address)
        body = ParseDict(query(question, raw_load.KEY), request()).SerializeToString()
        return raw_load.send("unary", self.address, f"/{METHOD}", sending, body, ALLOWED)


def query(question: Question, request_id: str) -> dict[str, Any]:
    """Return the question as CheckResourcesRequest in JSON."""
    attributes = {
        "tenant": question.tenant,
        "environment": "production",
        "amount": question.amount,
        "params": question.params,
    }
    principal = {
        "id": "u_4812",
        "roles": [question.role],
        "attr": {"tenant": question.tenant, "agent": "support-agent"},
    }
    resource = {"kind": "stripe.refund", "id": "ch_1042", "attr": attributes}
    return {
        "request_id": request_id,
        "principal": principal,
        "resources": [{"actions": ["refund"], "resource": resource}],
    }


@contextlib.contextmanager
def cerbos(folder: Path, audit_log: Path | None = None) -> Iterator[Cerbos]:
    """Run Cerbos with the policy beside this file, for the duration of the block.

    With `audit_log` it writes its decision log to that file, which it does not flush to disk before it answers.
    """
    http, grpc_port = free_port(), free_port()
    settings = {
        "server.httpListenAddr": f"127.0.0.1:{http}",
        "server.grpcListenAddr": f"127.0.0.1:{grpc_port}",
        "storage.driver": "disk",
        "storage.disk.directory": str(SOURCE / "policies"),
        "telemetry.disabled": "true",
    }
    if audit_log:
        settings |= {"audit.enabled": "true", "audit.backend": "file", "audit.file.path": str(audit_log)}
        settings |= {"audit.accessLogsEnabled": "false", "audit.decisionLogsEnabled": "true"}
    options = [f"--set={name}={value}" for name, value in settings.items()]
    with running([str(install()), "server", "--log-level=error", *options], grpc_port, folder / "cerbos.log"):
        yield Cerbos(f"127.0.0.1:{grpc_port}")


def install() -> Path:
    """Install the package below .cache when it is missing, verified by the lock file. Returns the program.

    Raises RuntimeError when it cannot be installed.
    """
    lock = INSTALLED / "package-lock.json"
    if PROGRAM.exists() and lock.read_bytes() == (SOURCE / "package-lock.json").read_bytes():
        return PROGRAM
    if shutil.which("npm") is None:
        raise RuntimeError("Cerbos cannot be installed without npm. Remedy: install Node.js with npm.")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(SOURCE / name, INSTALLED / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    completed = subprocess.run(command, cwd=INSTALLED, check=False, capture_output=True, text=True)
    if completed.returncode != 0:
        raise RuntimeError(f"Cerbos cannot be installed: {completed.stderr.strip()}")
    return PROGRAM


@cache
def _messages(address: str) -> tuple[type[Message], type[Message]]:
    """Return the classes of request and response, which Cerbos itself describes."""
    with grpc.insecure_channel(address) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        names = ("cerbos.request.v1.CheckResourcesRequest", "cerbos.response.v1.CheckResourcesResponse")
        request, response = (GetMessageClass(pool.FindMessageTypeByName(name)) for name in names)
    return request, response
