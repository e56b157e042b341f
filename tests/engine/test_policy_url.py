"""A managed OPA whose policy comes from an address: what is published is served, what cannot be trusted never is."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from placet.engine import policy_url
from placet.engine.download import Download, DownloadError
from placet.engine.managed import ManagedPolicies
from placet.engine.policy_url import Published
from placet.policy.bundles.bundle import build_bundle
from placet.policy.bundles.release import MANIFEST, make_release
from placet.policy.bundles.removal_confirmation import RemovalConfirmation
from placet.policy.files.archive import pack, unpack
from placet.revisions.pushed import UNKNOWN_PUSHER, Pusher
from placet.revisions.status import PolicyEventKind
from tests.engine.test_managed import Clock, Memory, Supervised, until
from tests.policy.releases import signed_again, unsigned
from tests.support.checked_policies import remember_checked_policies
from tests.support.running_policies import run_policies

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from placet.revisions.status import PolicyEvent

URL = "https://policy.example.com/bundle.tar.gz"
KEY = ed25519.Ed25519PrivateKey.generate()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Address:
    """What is published. None: nothing is there."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.pusher = Pusher("token:ann", "ann@example.com")
        self.asked = 0

    def get(self, tag: str, wait_seconds: float) -> Download:
        del wait_seconds
        self.asked += 1
        if self.content is None:
            raise DownloadError("cannot be read: the server answered with status 404")
        new_tag = str(hash(self.content))
        return Download(None if tag == new_tag else self.content, new_tag, waits=False, pusher=self.pusher)


class Distributed(Supervised):
    """Policies that are published at an address."""

    def __init__(self, folder: Path, opa: Path) -> None:
        super().__init__(folder, opa, memory=Memory())
        self.address = Address()
        self.published = 1_000
        self.public = folder / "public.pem"
        self.public.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self._cache = folder / "publisher"
        self.again()

    def again(self, *, two_people: bool = False) -> None:
        """The policies of a process that starts now, with the disk and the memory of the one before."""
        assert self.memory is not None
        self.events.clear()
        confirmation = RemovalConfirmation(
            self.memory, self.source.cache_dir, self.errors.append, two_people=two_people
        )
        published = Published(URL, self.address, self.public)
        self.policies = ManagedPolicies(
            self.source, self.engine, Clock(), self._note, self.errors.append, "test", confirmation, published
        )

    async def _note(self, event: PolicyEvent) -> None:
        await super()._note(event)
        if self.memory is not None and event.source is not None:
            self.memory.newest_us = max(self.memory.newest_us, event.source.created_at_us)

    def release(self, created: int = 0) -> bytes:
        """The folder as a signed release, created after the one before, or at another second."""
        self.published += 1
        bundle = build_bundle(self.rego_dir, self.engine.opa, self._cache)
        return make_release(bundle, COMMIT, created or self.published, KEY, "default")

    def publish(self) -> bytes:
        """Publish the folder."""
        self.address.content = self.release()
        return self.address.content

    def running(self) -> AbstractAsyncContextManager[None]:
        return run_policies(self.policies)

    async def refused(self, why: str) -> None:
        """Wait until the newest is refused for this reason."""
        await until(lambda: why in self.policies.status().last_error, why)


@pytest.fixture
def it(tmp_path: Path, opa: Path, monkeypatch: pytest.MonkeyPatch) -> Distributed:
    remember_checked_policies(monkeypatch)
    monkeypatch.setattr(policy_url, "POLL_SECONDS", 0.05)
    return Distributed(tmp_path, opa)


async def test_what_is_published_is_served(it: Distributed) -> None:
    it.publish()
    async with it.running():
        first = it.revision
        assert it.policies.status().git_commit == COMMIT
        it.change()
        it.publish()
        await until(lambda: it.revision != first)
        asked = it.address.asked
        await until(lambda: it.address.asked > asked + 2)
    assert it.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.ACTIVATED]
    assert (it.policies.status().last_error, it.errors) == ("", [])


def _signed_by_another(release: bytes) -> bytes:
    return signed_again(unpack(release), ed25519.Ed25519PrivateKey.generate())


def _with_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[bytes], bytes]:
    def changed(release: bytes) -> bytes:
        files = unpack(release)
        manifest = json.loads(files[MANIFEST])
        change(manifest)
        files[MANIFEST] = json.dumps(manifest).encode()
        return signed_again(files, KEY)

    return changed


def _of_another_opa(manifest: dict[str, object]) -> None:
    manifest["metadata"]["placet"]["opa_version"] = "0.1.0"  # type: ignore[index] # of a release


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (lambda release: release[: len(release) // 2], "is not a tar.gz"),
        (lambda _: b"", "is not a tar.gz"),
        (unsigned, "is not signed"),
        (_signed_by_another, "is signed by none of the trusted keys"),
        (_with_manifest(_of_another_opa), "has the opa_version '0.1.0'"),
        (_with_manifest(lambda manifest: manifest.update(revision="f" * 32)), "but its files give"),
    ],
)
async def test_what_cannot_be_trusted_is_told_and_never_served(
    it: Distributed, spoilt: Callable[[bytes], bytes], why: str
) -> None:
    it.publish()
    async with it.running():
        first = it.revision
        it.change()
        whole = it.release()
        it.address.content = spoilt(whole)
        await it.refused(why)
        asked = it.address.asked
        await until(lambda: it.address.asked > asked + 2)
        assert it.revision == first
        assert it.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.REFUSED]
        assert URL in it.events[-1].detail
        it.address.content = whole
        await until(lambda: it.revision != first)
        assert not it.policies.status().last_error


async def test_an_older_one_is_held_until_a_person_confirms_it(it: Distributed) -> None:
    assert it.memory is not None
    old = it.publish()
    async with it.running():
        first = it.revision
        it.change()
        it.publish()
        await until(lambda: it.revision != first)
        second = it.revision
        it.address.content = old
        await until(lambda: it.policies.status().held_revision == first)
        status = it.policies.status()
        assert (status.revision, status.held_as) == (second, f"{first}@1002000000")
        assert status.held_reasons[0].startswith("it was created at 1970-01-01T00:16:41")
        it.memory.revisions.add(first)  # a confirmation of lost restrictions is none of going back
        await it.policies.check_now()
        assert it.revision == second
        it.memory.revisions.add(status.held_as)
        await until(lambda: it.revision == first)
        it.change()
        it.publish()
        await until(lambda: it.revision not in {first, second})
        it.address.content = old
        await until(lambda: it.policies.status().held_revision == first)


async def test_an_older_one_is_held_after_a_restart_too(it: Distributed) -> None:
    old = it.publish()
    it.change()
    it.publish()
    async with it.running():
        newest = it.revision
    it.again()
    it.address.content = old
    async with it.running():
        status = it.policies.status()
        assert (status.revision, bool(status.held_revision), status.ready) == (newest, True, True)


async def test_a_start_without_the_address_serves_what_was_served_last(it: Distributed) -> None:
    it.publish()
    async with it.running():
        first = it.revision
    it.again()
    it.address.content = None
    async with it.running():
        assert (it.revision, it.policies.status().ready) == (first, True)
        assert "status 404" in it.policies.status().last_error
        assert it.policies.status().unseen_since_us > 0
        it.change()
        it.publish()
        await until(lambda: it.revision != first)


async def test_without_the_store_nothing_new_is_served(it: Distributed) -> None:
    assert it.memory is not None
    it.publish()
    async with it.running():
        first = it.revision
        it.memory.broken = True
        it.change()
        it.publish()
        await it.refused("the store does not answer")
        assert it.revision == first
        it.memory.broken = False
        await until(lambda: it.revision != first)


async def test_an_invalid_policy_is_refused_with_its_place(it: Distributed) -> None:
    it.publish()
    async with it.running():
        first = it.revision
        whole = unpack(it.publish())
        source = unpack(whole["/source.tar.gz"])
        source["config/acme.yaml"] = b"agent_policy: {alowed_tools: []}\n"
        whole["/source.tar.gz"] = pack(source)
        it.address.content = signed_again(whole, KEY)
        await it.refused("bundle/config/acme.yaml:1: agent_policy.alowed_tools: unknown key")
        assert it.revision == first
        shutil.rmtree(it.rego_dir)  # it is not read
        await it.policies.check_now()
        assert it.policies.status().ready


async def test_with_two_people_each_new_policy_is_held(it: Distributed) -> None:
    assert it.memory is not None
    it.publish()
    async with it.running():
        first = it.revision
        assert it.policies.status().pusher.person == "ann@example.com"
    it.again(two_people=True)
    async with it.running():
        assert (it.revision, it.policies.status().held_revision) == (first, "")  # it decided before
        it.change()
        it.publish()
        await until(lambda: it.policies.status().held_revision)
        second = it.policies.status().held_revision
        status = it.policies.status()
        assert (status.held_as, status.held_needs_people) == (f"two_people:{second}", True)
        assert status.held_reasons == (
            "policy_activation needs two people: ann@example.com published it, and another person must confirm it",
        )
        assert it.events[-1].pusher == it.address.pusher
        it.memory.revisions.add(second)  # one person's confirmation of something else
        await it.policies.check_now()
        assert it.revision == first
        it.memory.revisions.add(status.held_as)
        await until(lambda: it.revision == second)
    assert it.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.HELD, PolicyEventKind.ACTIVATED]


async def test_an_older_policy_needs_two_people_again(it: Distributed) -> None:
    assert it.memory is not None
    it.again(two_people=True)
    old = it.publish()
    async with it.running():
        held = it.policies.status().held_revision
        assert (it.revision, bool(held)) == ("", True)
        it.memory.revisions.add(f"two_people:{held}")
        await until(lambda: it.revision == held)
        it.change()
        it.publish()
        await until(lambda: it.policies.status().held_as.startswith("two_people:"))
        it.memory.revisions.add(it.policies.status().held_as)
        await until(lambda: it.revision != held)
        it.address.content, it.address.pusher = old, UNKNOWN_PUSHER
        await until(lambda: it.policies.status().held_revision == held)
        status = it.policies.status()
        assert "@" in status.held_as
        assert [reason.split(":")[0] for reason in status.held_reasons] == [
            "policy_activation needs two people",
            "it was created at 1970-01-01T00",
        ]
        assert "it is not known who published it" in status.held_reasons[0]
