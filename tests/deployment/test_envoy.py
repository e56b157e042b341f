"""deploy/envoy: Envoy accepts it, repeats no call that a replica may have begun, and calls healthy replicas alone."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from tests.deployment.envoy import CONFIGURATION, balancing, configure, envoy_program
from tests.deployment.topology import READY_SECONDS_MAX, Certificates, own_host
from tests.faults.serving import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.deployment.envoy import Envoy

NEVER_BEGUN = {"connect-failure", "refused-stream", "reset-before-request"}
"""Conditions under which no replica has begun a call, so that Envoy may send it to another one."""
METHOD = "/placet.v1.AuthorizationService/Authorize"
CALLS = 20


def test_envoy_accepts_the_configuration(tmp_path: Path) -> None:
    shutil.copytree(CONFIGURATION, tmp_path / "envoy")
    certificates = Certificates(tmp_path / "tls", "127.0.0.1")
    (tmp_path / "envoy/tls").symlink_to(certificates.folder)
    command = [str(envoy_program()), "--mode", "validate", "-c", "envoy.yaml"]
    done = subprocess.run(
        command, cwd=tmp_path / "envoy", capture_output=True, text=True, check=False, timeout=READY_SECONDS_MAX
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr


def test_only_calls_that_no_replica_has_begun_are_repeated() -> None:
    [listener] = yaml.safe_load((CONFIGURATION / "envoy.yaml").read_text())["static_resources"]["listeners"]
    [chain] = listener["filter_chains"]
    [host] = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    assert "retry_policy" not in host
    [route] = host["routes"]
    assert set(route["route"]["retry_policy"]["retry_on"].split(",")) <= NEVER_BEGUN


class Replica(grpc.GenericRpcHandler):  # type: ignore[type-arg] # no generic when it runs
    """A server that answers each call with the status of the test, and counts them."""

    def __init__(self, address: str, certificates: Certificates) -> None:
        self.address = address
        self.calls: list[dict[str, list[str]]] = []
        self.code = grpc.StatusCode.UNAVAILABLE
        self._health = HealthServicer()
        self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        pair = [(certificates.folder / name).read_bytes() for name in ("tls.key", "tls.crt")]
        self.server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        self.server.add_secure_port(address, grpc.ssl_server_credentials([(pair[0], pair[1])]))
        self.server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer) if handler_call_details.method == METHOD else None

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        received: dict[str, list[str]] = {}
        for key, value in context.invocation_metadata():
            received.setdefault(key, []).append(str(value))
        self.calls.append(received)
        if self.code is not grpc.StatusCode.OK:
            context.abort(self.code, "the test says so")
        return request


class Balanced:
    """Envoy before two such servers."""

    def __init__(self, envoy: Envoy, replicas: list[Replica], channel: grpc.Channel) -> None:
        self.envoy = envoy
        self.replicas = replicas
        self._call = channel.unary_unary(METHOD, None, None)

    def call(self, *metadata: tuple[str, str]) -> grpc.StatusCode:
        try:
            self._call(b"", timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    @property
    def counts(self) -> list[int]:
        return [len(replica.calls) for replica in self.replicas]


@pytest.fixture
def balanced(tmp_path: Path) -> Iterator[Balanced]:
    host = own_host()
    certificates = Certificates(tmp_path / "tls", host)
    replicas = [Replica(f"{host}:{port}", certificates) for port in (7070, 7071)]
    configure(
        tmp_path / "envoy",
        certificates.folder,
        f"{host}:7443",
        f"{host}:9901",
        [replica.address for replica in replicas],
    )
    trusted = grpc.ssl_channel_credentials((certificates.folder / "ca.crt").read_bytes())
    try:
        with balancing(tmp_path / "envoy", f"{host}:9901") as envoy:
            eventually(lambda: envoy.healthy() == 2, READY_SECONDS_MAX, "two healthy replicas")
            with grpc.secure_channel(f"{host}:7443", trusted) as channel:
                yield Balanced(envoy, replicas, channel)
    finally:
        for replica in replicas:
            replica.server.stop(None).wait()


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
def test_an_answered_call_is_sent_once(balanced: Balanced, code: grpc.StatusCode) -> None:
    for replica in balanced.replicas:
        replica.code = code
    assert Counter(balanced.call() for _ in range(CALLS)) == {code: CALLS}
    assert sum(balanced.counts) == CALLS
    assert all(balanced.counts), "both replicas get calls"
    assert balanced.envoy.counter("upstream_rq_retry") == 0


def test_a_replica_that_is_gone_gets_no_calls(balanced: Balanced) -> None:
    gone, other = balanced.replicas
    other.code = gone.code = grpc.StatusCode.OK
    gone.server.stop(None).wait()
    assert Counter(balanced.call() for _ in range(CALLS)) == {grpc.StatusCode.OK: CALLS}
    eventually(lambda: balanced.envoy.healthy() == 1, READY_SECONDS_MAX, "one healthy replica")
    assert len(other.calls) == CALLS
    other.server.stop(None).wait()
    eventually(lambda: balanced.envoy.healthy() == 0, READY_SECONDS_MAX, "no healthy replica")
    assert balanced.call() is grpc.StatusCode.UNAVAILABLE


def test_credentials_and_deadlines_reach_the_replica(balanced: Balanced) -> None:
    for replica in balanced.replicas:
        replica.code = grpc.StatusCode.OK
    assert balanced.call(("authorization", "Bearer one")) is grpc.StatusCode.OK
    [received] = [call for replica in balanced.replicas for call in replica.calls]
    assert received["authorization"] == ["Bearer one"]
