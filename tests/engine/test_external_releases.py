"""An external OPA that pulls what Placet reads too: whoever is ahead, no answer is used with other tenants' files."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from placet.engine import external_releases, policy_url
from placet.engine.client import OpaClient
from placet.engine.download import Download, DownloadError
from placet.engine.external_releases import ExternalEngine, ExternalReleases
from placet.engine.http import Address
from placet.engine.policy_url import PolicyUrl, Published, loaded_elsewhere
from placet.engine.source import Source
from placet.kernel.model import Indeterminate, Verdict
from placet.policy.bundles.bundle import unchecked_bundle
from placet.policy.bundles.release import make_release
from placet.policy.bundles.removal_confirmation import RemovalConfirmation
from placet.policy.files.archive import unpack
from placet.policy.files.tree import read_tree
from placet.revisions.status import PolicyEventKind
from tests.engine.lying_opa import http
from tests.engine.test_managed import Clock, Memory, until
from tests.faults.serving import policy_copy
from tests.policy.releases import signed_again, unsigned
from tests.policy.test_release import write_public
from tests.support.running_policies import run_policies

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from placet.revisions.status import PolicyEvent
    from tests.engine.lying_opa import LyingOpa

KEY = ed25519.Ed25519PrivateKey.generate()
URL = "https://policy.example.com/bundle.tar.gz"
TIMEOUT_SECONDS = 2.0
LOOK_SECONDS = 0.05
FINDING = {"effect": "deny", "rule_id": "canary.alive", "reason": "alive", "details": {}}


class Site:
    """An address with a release, and an OPA that serves the revision that the test names."""

    def __init__(self, folder: Path, opa: LyingOpa) -> None:
        self.rego_dir = policy_copy(folder)
        self.content: bytes | None = None
        self.opa_serves = ""
        self.memory = Memory()
        self.events: list[PolicyEvent] = []
        self.errors: list[BaseException] = []
        self.failures: list[str] = []
        self._opa, self._folder, self._created = opa, folder, 1_000
        self._public = write_public(KEY, folder / "key.pub.pem")
        opa.script = self._answer
        self.again()

    def again(self, age_seconds_max: float = math.inf) -> None:
        """A process that starts now, with the memory of the one before."""
        client = OpaClient(
            Address.parse(self._opa.url),
            timeout_seconds=TIMEOUT_SECONDS,
            expected_revision="",
            on_failure=lambda _rule_id, cause: self.failures.append(cause),
        )
        engine = ExternalEngine(
            client, TIMEOUT_SECONDS, LOOK_SECONDS, age_seconds_max, lambda _rule_id, cause: self.failures.append(cause)
        )
        cache = self._folder / "bundles"
        source = Source(self._folder, cache, LOOK_SECONDS)

        async def unused(_path: Path) -> None:
            raise AssertionError("nothing is built that is cached")

        reader = PolicyUrl(Published(URL, self, self._public), source, loaded_elsewhere, unused)
        confirmation = RemovalConfirmation(self.memory, cache, self.errors.append)
        self.policies = ExternalReleases(
            engine, reader, confirmation, self._folder, Clock(), self._note, self.errors.append
        )

    def get(self, tag: str, wait_seconds: float) -> Download:
        del wait_seconds
        if self.content is None:
            raise DownloadError("cannot be read: the server answered with status 404")
        new_tag = str(hash(self.content))
        return Download(None if tag == new_tag else self.content, new_tag, waits=False)

    def release(self, comment: str) -> tuple[str, bytes]:
        """Another revision: its name and its release."""
        file = self.rego_dir / "policy/refunds/refunds.rego"
        file.write_text(f"{file.read_text()}\n# {comment}\n")
        self._created += 1
        bundle = unchecked_bundle(read_tree(self.rego_dir))
        return bundle.revision, make_release(bundle, "", self._created, KEY, "default")

    def publish(self, comment: str) -> str:
        """Publish another revision."""
        revision, self.content = self.release(comment)
        return revision

    async def _answer(self, body: bytes) -> bytes:
        decision = {"effect": "deny", "rule_id": "canary.alive", "findings": [FINDING]}
        provenance: dict[str, Any] = {"bundles": {"b": {"revision": self.opa_serves}}} if self.opa_serves else {}
        result = {str(index): decision for index, _ in enumerate(orjson.loads(body)["input"]["batch"])}
        return http(orjson.dumps({"provenance": provenance, "result": result}))

    async def _note(self, event: PolicyEvent) -> None:
        self.events.append(event)
        if event.source is not None:
            self.memory.sources = (event.source,)
            self.memory.newest_us = max(self.memory.newest_us, event.source.created_at_us)

    @property
    def kinds(self) -> list[PolicyEventKind]:
        return [event.kind for event in self.events]

    @property
    def revision(self) -> str:
        policy = self.policies.current()
        return policy.revision if policy is not None else ""

    async def verdict(self) -> Verdict | Indeterminate:
        policy = self.policies.current()
        assert policy is not None
        [verdict] = await policy.evaluate([b"{}"])
        return verdict

    def running(self) -> AbstractAsyncContextManager[None]:
        return run_policies(self.policies)


@pytest.fixture
def site(tmp_path: Path, lying_opa: LyingOpa, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(policy_url, "POLL_SECONDS", LOOK_SECONDS)
    return Site(tmp_path, lying_opa)


async def test_the_tenants_are_those_of_the_revision_that_opa_serves(site: Site) -> None:
    first = site.opa_serves = site.publish("first")
    async with site.running():
        assert (site.revision, site.policies.status().ready) == (first, True)
        assert sorted(site.policies.current().agent_policies) == list(site.policies.status().tenants)  # type: ignore[union-attr] # it is served
        second = site.publish("second")
        await until(lambda: site.policies.status().reloads_accepted > 1)
        assert site.revision == first  # OPA is behind
        assert isinstance(await site.verdict(), Verdict)
        assert not site.policies.status().last_error
        site.opa_serves = second
        await until(lambda: site.revision == second)
        assert (await site.verdict()).policy_revision == second  # type: ignore[union-attr] # a verdict
        await until(lambda: len(site.events) > 1)  # they are told after they decide
    assert site.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.ACTIVATED]
    assert (site.failures, site.errors) == ([], [])


async def test_a_decision_follows_an_opa_that_is_ahead(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.opa_serves = site.publish("first")
    await site.policies.start()  # nothing else follows
    policy = site.policies.current()
    assert policy is not None
    second, content = site.release("second")
    site.opa_serves, site.content = second, content
    verdict = await site.verdict()
    assert isinstance(verdict, Indeterminate)  # its inputs had the first one's files
    assert (site.revision, site.failures) == (second, [])  # so that the caller asks again
    assert (await site.verdict()).policy_revision == second  # type: ignore[union-attr] # a verdict
    monkeypatch.setattr(external_releases, "FOLLOW_SECONDS_MAX", 0.2)
    site.opa_serves = "of somebody else"
    began = time.monotonic()
    assert isinstance(await site.verdict(), Indeterminate)
    assert time.monotonic() - began >= 0.2
    assert f"OPA serves the revision of somebody else, but Placet accepted {second} last" in site.failures[0]
    site.opa_serves = first  # it must not go back
    assert isinstance(await site.verdict(), Indeterminate)
    await site.policies.check_now()
    assert not site.policies.status().ready
    await site.policies.close()


async def test_an_older_one_is_used_only_when_a_person_confirmed_it(site: Site) -> None:
    first, old = site.publish("first"), site.content
    site.opa_serves = first
    async with site.running():
        site.opa_serves = site.publish("second")
        await until(lambda: site.revision == site.opa_serves)
        site.content, site.opa_serves = old, first
        await until(lambda: site.policies.status().held_revision == first)
        await until(lambda: not site.policies.status().ready)
        assert isinstance(await site.verdict(), Indeterminate)
        await until(lambda: "which is held; run placet policy confirm" in site.policies.status().last_error)
        site.memory.revisions.add(site.policies.status().held_as)
        await until(lambda: site.revision == first)
        await until(lambda: site.policies.status().ready)
        assert isinstance(await site.verdict(), Verdict)
    assert site.kinds.count(PolicyEventKind.HELD) == 1


def _loads_something_else(release: bytes) -> bytes:
    files = unpack(release)
    files["/policy/refunds/refunds.rego"] += b"\n# more\n"
    return signed_again(files, KEY)


async def test_what_cannot_be_trusted_is_told_and_never_used(site: Site) -> None:
    first = site.opa_serves = site.publish("first")
    async with site.running():
        second, whole = site.release("second")
        spoilt = {
            "is not a tar.gz": whole[: len(whole) // 2],
            "is not signed": unsigned(whole),
            "has for OPA other files than were built from its source: /policy/refunds": _loads_something_else(whole),
        }
        for why, content in spoilt.items():
            site.content = content
            await until(lambda why=why: why in site.policies.status().last_error, why)  # type: ignore[misc] # bound at once
            assert (site.revision, site.policies.status().ready) == (first, True)
        site.opa_serves = second  # OPA took what Placet did not
        await until(lambda: not site.policies.status().ready)
        assert isinstance(await site.verdict(), Indeterminate)
        site.content = whole
        await until(lambda: site.revision == second)
        await until(lambda: not site.policies.status().last_error)
    assert site.kinds.count(PolicyEventKind.REFUSED) == len(spoilt)


async def test_it_ages_while_opa_is_behind_or_the_address_is_away(site: Site) -> None:
    first = site.opa_serves = site.publish("first")
    site.again(age_seconds_max=1.0)
    async with site.running():
        second = site.publish("second")
        await until(lambda: site.policies.status().stale)
        assert site.revision == first
        assert site.policies.status().unseen_since_us > 0
        site.opa_serves = second
        await until(lambda: not site.policies.status().stale)
        site.content = None
        await until(lambda: site.policies.status().stale)
        assert "status 404" in site.policies.status().last_error
        assert isinstance(await site.verdict(), Verdict)  # the pipeline denies it as stale
        policy = site.policies.current()
        assert policy is not None
        assert Clock().monotonic() - policy.confirmed_at > 1.0


async def test_it_starts_without_the_address_and_without_opa(site: Site) -> None:
    first = site.opa_serves = site.publish("first")
    async with site.running():
        assert site.revision == first
    site.again()
    site.content, site.opa_serves = None, ""
    async with site.running():
        assert (site.revision, site.policies.status().ready) == ("", False)
        site.opa_serves = first  # what was served last is known
        await until(lambda: site.revision == first)
        site.opa_serves = site.publish("second")
        await until(lambda: site.revision == site.opa_serves)
    assert not site.errors


async def test_opa_alone_does_not_decide_what_is_served(site: Site) -> None:
    revision, site.content = site.release("first")
    site.content = None
    site.opa_serves = revision
    async with site.running():
        assert site.policies.current() is None
        assert "but Placet accepted none" in site.policies.status().last_error
        site.publish("second")
        await until(lambda: site.policies.status().reloads_accepted > 0)
        assert site.policies.current() is None
