"""`placet health`, by which probes ask: without a credential, with TLS, and told apart from a server that is gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from placet import sdk
from placet.cli.rendering import exit_codes
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Placet
    from tests.serving import Server

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_a_server_that_decides(placet: Placet, placet_server: Server) -> None:
    assert placet("health", "--address", placet_server.address).out == "SERVING\n"
    for part in ("placet.policy", "placet.engine", "placet.store"):
        assert placet("health", "--address", placet_server.address, "--service", part).code == 0
    ran = placet("health", "--address", placet_server.address, "--service", "placet.nothing")
    assert (ran.code, "has no part" in ran.complaint) == (exit_codes.USAGE, True)


def test_no_server(placet: Placet, unused_address: str) -> None:
    ran = placet("health", "--address", unused_address, "--timeout", "1")
    assert (ran.code, ran.out) == (exit_codes.NO_DECISION, "")
    assert "start the server, or correct --address" in ran.complaint


@pytest.fixture
def composed(placet: Placet, tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server as deploy/compose.yaml starts it: TLS by generated certificates, and callers with access tokens."""
    certificates = tmp_path / "tls"
    assert placet("dev-certs", certificates, "--host", "localhost", "--host", "127.0.0.1", "--host", "placet").code == 0
    secured = settings(
        tmp_path / "data",
        auth_file=str(DEPLOY / "compose/auth.toml"),
        tls_cert_file=str(certificates / "tls.crt"),
        tls_key_file=str(certificates / "tls.key"),
        reflection=False,
    )
    with serving(secured) as server:
        yield server, certificates / "ca.crt"


def test_tls_without_a_credential(
    placet: Placet, composed: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ca = composed
    plaintext = placet("health", "--address", server.address, "--timeout", "2")
    assert plaintext.code == exit_codes.NO_DECISION
    monkeypatch.setenv("PLACET_TLS_CA_FILE", str(ca))
    assert placet("health", "--address", server.address).out == "SERVING\n"
    assert placet("health", "--address", server.address, "--server-name", "placet").code == 0
    wrong_name = placet("health", "--address", server.address, "--server-name", "other", "--timeout", "2")
    assert wrong_name.code == exit_codes.NO_DECISION
    with sdk.ControlClient(server.address) as client, pytest.raises(sdk.CallFailedError) as refused:
        client.policy_status()
    assert "the call has no credential" in str(refused.value), "only the health is told without a token"


def test_a_server_that_cannot_decide_is_alive(placet: Placet) -> None:
    """It gets no calls, and is not restarted."""
    health = HealthServicer()
    health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        ran = placet("health", "--address", address)
        assert (ran.code, ran.out) == (exit_codes.CHECK_FAILED, "NOT_SERVING\n")
        assert placet("health", "--address", address, "--answers").code == 0
    finally:
        server.stop(None).wait()


def test_a_ca_that_is_missing(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_TLS_CA_FILE", "missing.crt")
    ran = placet("health")
    assert (ran.code, "missing.crt" in ran.complaint) == (exit_codes.USAGE, True)
