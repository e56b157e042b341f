"""Who may publish a policy, and who may confirm it: a bundle server and a server that authenticate, real processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from placet.sdk import CallFailedError, ControlClient
from tests.faults.distribution import NAME, Published, placet
from tests.faults.serving import START_SECONDS_MAX, Server, eventually, free_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTHORS = {"ann": ["--person", "ann@example.com"], "ben": ["--person", "ben@example.com"], "ci": []}


class Authors(Published):
    """A bundle server that knows callers by the database of a server."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.auth_file = folder / "auth.toml"
        self.auth_file.write_text('accept = ["token"]\n')
        super().__init__(folder)

    def command(self, address: str) -> list[str]:
        """Create the tokens, which creates the database, before the bundle server needs it."""
        self.tokens = {name: self._token(name, "policy_author", "*", *options) for name, options in AUTHORS.items()} | {
            "runtime": self._token("runtime", "agent_runtime", "acme", "--agent", "*")
        }
        command = [sys.executable, "-m", "placet", "bundle-server", str(self.bundles), f"--listen={address}"]
        command += [f"--auth-file={self.auth_file}", f"--data-dir={self.data_dir}"]
        return [*command, f"--verification-key={self.public}"]

    def _token(self, name: str, role: str, tenant: str, *options: str) -> Path:
        arguments = ["tokens", "create", name, "--role", role, "--tenant", tenant, *options]
        file = self.folder / f"{name}.token"
        file.write_text(self.placet(*arguments, "--data-dir", self.data_dir))
        return file

    def push_as(self, name: str, content: bytes) -> tuple[int, str]:
        """Push with the token of somebody. Returns the exit code and the errors."""
        file = self.folder / "pushed.tar.gz"
        file.write_bytes(content)
        ran = placet("policy", "push", file, self.url, "--token-file", self.tokens[name], folder=self.folder)
        return ran.returncode, ran.stderr

    def control(self, server: Server, name: str) -> ControlClient:
        return ControlClient(server.address, timeout=60, token=self.tokens[name].read_text().strip())


@pytest.fixture
def authors(tmp_path: Path) -> Iterator[Authors]:
    with Authors(tmp_path) as it:
        yield it


def refusal(control: ControlClient, revision: str) -> str:
    with pytest.raises(CallFailedError) as error:
        control.confirm_policy(revision, reason="as discussed")
    return error.value.failure.error


@pytest.mark.timeout(300)
def test_an_author_publishes_and_another_person_confirms(authors: Authors, tmp_path: Path) -> None:
    first, content = authors.bundle("first")
    code, said = authors.push_as("runtime", content)
    assert (code, "status 403" in said) == (2, True)
    assert not (authors.bundles / NAME).exists()
    assert authors.push_as("ann", content)[0] == 0
    server = Server(
        tmp_path / "server",
        tmp_path / "none",
        data_dir=authors.data_dir,
        auth_file=authors.auth_file,
        policy_url=authors.url,
        policy_verification_key=authors.public,
        policy_activation="two_people",
    )
    try:
        server.wait_until_ready()
        with authors.control(server, "ann") as ann, authors.control(server, "ben") as ben:
            status = ben.policy_status()
            assert (status.held_revision, status.held_pushed_by, status.policy_revision) == (
                first,
                "ann@example.com",
                "",
            )
            assert not status.serving
            assert refusal(ann, first) == "PUBLISHER_MAY_NOT_CONFIRM"
            with authors.control(server, "ci") as program:
                assert refusal(program, first) == "PEOPLE_NEEDED"
            assert ben.confirm_policy(first, reason="as discussed").activated

            second, content = authors.bundle("second")
            assert authors.push_as("ci", content)[0] == 0
            eventually(lambda: ben.policy_status().held_revision == second, START_SECONDS_MAX)
            assert ben.policy_status().held_pushed_by == "token:ci"
            asked = ann.confirm_policy(second, reason="as discussed")
            assert (asked.activated, asked.pending_request is not None) == (False, True)
            assert refusal(ann, second) == "SECOND_PERSON_NEEDED"
            assert ben.confirm_policy(second, reason="as discussed").activated
            assert ben.policy_status().pushed_by == "token:ci"
        assert [record["pushed_by"] for record in server.records("policy.activated")] == ["ann@example.com", "token:ci"]
        assert [record["pushed_by"] for record in server.records("policy.confirmed")] == ["ann@example.com", "token:ci"]
        assert server.stop() == 0
    finally:
        server.kill()
    assert server.verify().problems == ()


CERTIFICATES = """accept = ["certificate"]
[[certificates]]
subject = "CN=x"
[[certificates.grants]]
role = "admin"
tenants = ["*"]
"""


@pytest.mark.parametrize(
    ("file", "options", "why"),
    [
        (CERTIFICATES, [], "takes no client certificates"),
        ('accept = ["token"]\n', [], "there is no database"),
        ('accept = ["token"]\n', ["--push-token-file=token"], "exclude each other"),
    ],
)
def test_a_bundle_server_that_could_authenticate_nobody_does_not_start(
    tmp_path: Path, file: str, options: list[str], why: str
) -> None:
    (tmp_path / "auth.toml").write_text(file)
    (tmp_path / "token").write_text("token")
    arguments = [tmp_path, f"--listen={free_address()}", "--auth-file=auth.toml", "--data-dir=data", *options]
    ran = placet("bundle-server", *arguments, folder=tmp_path)
    assert (ran.returncode, why in ran.stderr) == (2, True), ran.stderr
