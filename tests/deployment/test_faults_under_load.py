"""Two replicas behind Envoy under load: whatever fails or changes, no answer is wrong, and the accounts add up.

`Deployment.load` checks each answer, the trail and the budgets after each test.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import grpc
import pytest

from placet.sdk import failures
from tests.deployment.load import NEW
from tests.deployment.topology import NAMES, READY_SECONDS_MAX
from tests.faults.serving import eventually
from tests.faults.traffic import AUTHORIZE, proposal

if TYPE_CHECKING:
    from tests.deployment.topology import Deployment

pytestmark = pytest.mark.timeout(600)
SOME = 60
"""Right answers: ten rounds of a caller."""


def test_a_replica_is_killed_and_started_again(deployment: Deployment) -> None:
    with deployment.load() as load:
        deployment.wait_until_whole()
        deployment.replicas[0].kill()
        eventually(lambda: deployment.envoy.healthy() == 1, READY_SECONDS_MAX, "one healthy replica")
        load.more(SOME)
        deployment.restart(0)
        deployment.wait_until_whole()
    assert deployment.replicas[1].process.poll() is None


def test_a_replica_is_stopped_and_started_again(deployment: Deployment) -> None:
    with deployment.load() as load:
        deployment.wait_until_whole()
        assert deployment.replicas[1].stop() == 0
        load.more(SOME)
        deployment.restart(1)
        deployment.wait_until_whole()


def test_opa_is_killed(deployment: Deployment) -> None:
    replica = deployment.replicas[0]
    with deployment.load() as load:
        deployment.wait_until_whole()
        killed = replica.opa
        killed.send_signal(signal.SIGKILL)
        load.more(SOME)
        eventually(
            lambda: (opa := replica.opa_or_none()) is not None and opa.pid != killed.pid, READY_SECONDS_MAX, "a new OPA"
        )
        deployment.wait_until_whole()
    assert replica.process.poll() is None


def test_the_database_restarts(deployment: Deployment) -> None:
    with deployment.load() as load:
        deployment.wait_until_whole()
        before = load.failed[failures.UNAVAILABLE]
        deployment.database.stop()
        eventually(lambda: load.failed[failures.UNAVAILABLE] > before, READY_SECONDS_MAX, "calls that fail")
        eventually(lambda: deployment.envoy.healthy() == 0, READY_SECONDS_MAX, "no healthy replica")
        deployment.database.start()
        deployment.wait_until_whole()
        load.more(SOME)
    assert [replica.process.poll() for replica in deployment.replicas] == [None, None]


def test_the_certificates_are_replaced(deployment: Deployment) -> None:
    addresses = [deployment.address, *deployment.replica_addresses]
    with deployment.load() as load:
        deployment.wait_until_whole()
        renewed = deployment.certificates.renew()
        eventually(
            lambda: all(deployment.certificates.served(address) == renewed for address in addresses),
            READY_SECONDS_MAX,
            "the new certificate",
        )
        load.more(SOME)
    with deployment.load():  # over connections that begin with the new certificate
        deployment.wait_until_whole()
    assert [replica.process.poll() for replica in deployment.replicas] == [None, None]
    assert deployment.envoy.process.poll() is None


def test_a_policy_is_pushed(deployment: Deployment) -> None:
    with deployment.load() as load:
        revision = deployment.publish(NEW.tool)
        eventually(
            lambda: all(revision in deployment.revisions()[name] for name in NAMES),
            READY_SECONDS_MAX,
            "decisions of both replicas by the new policy",
        )
        load.more(SOME)
    assert any(answer.tool == NEW.tool and answer.decision.allowed for answer in load.answers)


@pytest.mark.parametrize("sent", [0, 2], ids=["no credential", "two credentials"])
def test_only_one_credential_passes_the_load_balancer(deployment: Deployment, sent: int) -> None:
    metadata = (("authorization", f"Bearer {deployment.runtime_token}"),) * sent
    trusted = grpc.ssl_channel_credentials((deployment.certificates.folder / "ca.crt").read_bytes())
    with grpc.secure_channel(deployment.address, trusted) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(AUTHORIZE, None, None)(proposal(), timeout=20, metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
