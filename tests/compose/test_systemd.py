"""deploy/systemd under a real systemd, in a container: the steps of docs/how-to/deploy-systemd.md as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.compose.stand_ins import TAG, ensure_stand_in, run
from tests.container.engine import engine
from tests.docs.blocks import blocks
from tests.faults.serving import REPOSITORY, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1_800)]
PAGE: Final = REPOSITORY / "docs/how-to/deploy-systemd.md"
NAME: Final = "placet-test-systemd"
UP_SECONDS_MAX: Final = 300.0
BOOTING: Final = (
    *(f"--cap-add={name}" for name in ("SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN")),
    *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"),
    *("--network=none", "--tmpfs=/run", "--tmpfs=/tmp:exec", "--volume=/sys/fs/cgroup:/sys/fs/cgroup"),
    *("--env=container=docker", "--workdir=/checkout", "--entrypoint=/sbin/init"),
)
"""What systemd needs as the first process of a container."""
NEEDS_NETWORK: Final = "/opt/placet/bin/placet tools install opa\n"
"""The step that downloads OPA. The container has no network: the test puts the same program there."""
EXPOSURE_MAX: Final = 1.5
"""Of 10, as `systemd-analyze security` counts."""


class Machine:
    """A container whose first process is systemd."""

    def type(self, commands: str) -> str:
        """Run commands as root, at the top of a checkout. They must succeed."""
        command = ["docker", "exec", "--workdir", "/checkout", NAME, "bash", "-euc", commands]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=UP_SECONDS_MAX)
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def property(self, name: str) -> str:
        return self.type(f"systemctl show placet --property {name} --value")

    def health(self) -> str:
        ask = "PLACET_TLS_CA_FILE=/checkout/certs/ca.crt /opt/placet/bin/placet health --address localhost:7070"
        return self.type(f"{ask} 2>&1 || true")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("systemd")
    with engine(folder):
        ensure_stand_in()
        run("docker", "run", "--detach", f"--name={NAME}", *BOOTING, TAG)
        try:
            yield installed(folder)
        finally:
            run("docker", "rm", "--force", "--volumes", NAME)


def installed(folder: Path) -> Machine:
    """Type the blocks of the page."""
    machine = Machine()
    eventually(lambda: "running" in state(machine) or "degraded" in state(machine), UP_SECONDS_MAX, "systemd")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(REPOSITORY))
    [wheel] = folder.glob("placet-*.whl")
    run("docker", "cp", str(wheel), f"{NAME}:/opt/wheels/")
    machine.type("mkdir -p /checkout/deploy")
    for part in ("deploy/systemd", "rego"):
        run("docker", "cp", str(REPOSITORY / part), f"{NAME}:/checkout/{part}")
    first, second, third = [block.text for block in blocks(PAGE) if block.language == "sh"]
    assert NEEDS_NETWORK in first
    machine.type(first.replace(NEEDS_NETWORK, ""))
    run("docker", "cp", "--follow-link", str(REPOSITORY / ".tools/bin/opa"), f"{NAME}:/opt/placet/bin/opa")
    machine.type("/opt/placet/bin/placet dev-certs certs && cp certs/tls.* .")
    machine.type(second)
    create, check, start = third.strip().splitlines()
    machine.type(create)
    machine.type(
        f"{check} | grep -E 'settings +ok'"
    )  # a fresh machine fails others, such as a checkpoint kept elsewhere
    machine.type(start)
    return machine


def state(machine: Machine) -> str:
    return machine.type("systemctl is-system-running 2>&1 || true")


def test_the_unit_serves(machine: Machine) -> None:
    eventually(lambda: machine.health() == "SERVING", UP_SECONDS_MAX, "SERVING")
    assert machine.property("ActiveState") == "active"
    pid = machine.property("MainPID")
    assert machine.type(f"stat -c %U /proc/{pid}") == "placet"


def test_the_running_unit_is_confined(machine: Machine) -> None:
    told = machine.type("systemd-analyze security placet --no-pager | tail -1")
    [exposure] = re.findall(r"exposure level for placet.service: ([0-9.]+)", told)
    assert float(exposure) <= EXPOSURE_MAX
    pid = machine.property("MainPID")
    status = machine.type(f"cat /proc/{pid}/status")
    assert re.search(r"CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"Seccomp:\s+2$", status, re.MULTILINE)
    inside = f"nsenter --mount --target {pid} sh -c"
    assert machine.type(f"{inside} 'touch /etc/placet/x 2>/dev/null || echo refused'") == "refused"


def test_a_crash_is_repaired_and_a_stop_is_clean(machine: Machine) -> None:
    eventually(lambda: machine.health() == "SERVING", UP_SECONDS_MAX, "SERVING")
    killed = machine.property("MainPID")
    machine.type(f"kill -9 {killed}")
    eventually(
        lambda: machine.property("MainPID") not in {"0", killed} and machine.health() == "SERVING",
        UP_SECONDS_MAX,
        "another process that serves",
    )
    assert int(machine.property("NRestarts")) >= 1
    machine.type("systemctl stop placet")
    assert (machine.property("ActiveState"), machine.property("ExecMainStatus")) == ("inactive", "0")
    assert "ok" in machine.type("/opt/placet/bin/placet audit verify --data-dir /var/lib/placet")
    machine.type("systemctl start placet")
