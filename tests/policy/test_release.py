"""Releases: reproducible, signed as OPA verifies, and read only as they were signed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from placet.kernel.errors import ConfigurationError, PolicyInvalidError, PolicyUnreadableError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.bundles.release import MANIFEST, SOURCE, make_release, read_release
from placet.policy.bundles.signatures import SIGNATURES, read_signing_key, read_verification_keys, signatures_of
from placet.policy.files.archive import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.policy.bundles.bundle import Bundle

CREATED = 1_700_000_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ALGORITHMS: dict[str, Any] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
}


@pytest.fixture(scope="module", params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def public_key(algorithm: str, tmp_path: Path) -> Path:
    return write_public(ALGORITHMS[algorithm], tmp_path / "public.pem")


@pytest.fixture
def bundle(rego_dir: Path, opa: Path, tmp_path: Path) -> Bundle:
    """The example policy, with texts that JSON writers escape in different ways."""
    data = rego_dir / "policy/refunds/odd"
    data.mkdir()
    (data / "data.json").write_text(
        '{"\u00e9": "<&>\u2028\\u0001\\b\\f\\"\\\\", "b": [1.50, 2e3, null, true], "a": {}}'
    )
    return build_bundle(rego_dir, opa, tmp_path / "bundles")


def write_public(key: Any, path: Path) -> Path:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def write_private(key: Any, path: Path) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def signed(bundle: Bundle, algorithm: str, created: int = CREATED) -> bytes:
    return make_release(bundle, COMMIT, created, ALGORITHMS[algorithm], "default")


def loads(opa: Path, release: bytes, public_key: Path, algorithm: str) -> bool:
    """Whether OPA accepts the release as signed by the key."""
    file = public_key.with_name("bundle.tar.gz")
    file.write_bytes(release)
    arguments = ["--verification-key", str(public_key), "--signing-alg", algorithm]
    arguments += ["--output", str(file.with_name("out.tgz"))]
    return (
        subprocess.run([opa, "build", "--bundle", str(file), *arguments], check=False, capture_output=True).returncode
        == 0
    )


def test_opa_verifies_it(bundle: Bundle, opa: Path, algorithm: str, public_key: Path) -> None:
    release = signed(bundle, algorithm)
    assert release == signed(bundle, algorithm)
    assert loads(opa, release, public_key, algorithm)
    files = unpack(release)
    name = next(name for name in files if name.endswith("refunds.rego"))
    assert not loads(opa, pack(files | {name: files[name] + b"\n"}), public_key, algorithm)


def test_placet_reads_the_policy_that_was_signed(bundle: Bundle, algorithm: str, public_key: Path) -> None:
    release = read_release(signed(bundle, algorithm), read_verification_keys(public_key))
    assert (release.revision, release.git_commit) == (bundle.revision, COMMIT)
    assert release.created_at_us == CREATED * 1_000_000
    assert bundle.tree is not None
    assert release.tree.deciding == bundle.tree.deciding


def _changed(name: str, content: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: files | {name: content}


def _without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {each: content for each, content in files.items() if each != name}


def _by_another_key(files: dict[str, bytes]) -> dict[str, bytes]:
    whole = _without(SIGNATURES)(files)
    return whole | {SIGNATURES: signatures_of(whole, ed25519.Ed25519PrivateKey.generate(), "default")}


def _later(files: dict[str, bytes]) -> dict[str, bytes]:
    manifest = json.loads(files[MANIFEST])
    manifest["metadata"]["placet"]["created_at"] = "2099-01-01T00:00:00Z"
    return files | {MANIFEST: json.dumps(manifest).encode()}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without(SIGNATURES), "is not signed"),
        (_by_another_key, "none of the trusted keys"),
        (_changed(SOURCE, b""), "changed after it was signed"),
        (_later, "changed after it was signed"),
        (_changed("/added.rego", b"package added"), "holds other files than were signed"),
        (_without("/placet/main/main.rego"), "holds other files than were signed"),
        (_changed(SIGNATURES, b"{}"), "has no signature"),
        (_changed(SIGNATURES, b'{"signatures": ["eyJhbGciOiJub25lIn0.e30."]}'), "none of the trusted keys"),
    ],
)
def test_what_was_not_signed_is_unreadable(
    bundle: Bundle, tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], why: str
) -> None:
    keys = read_verification_keys(write_public(ALGORITHMS["EdDSA"], tmp_path / "public.pem"))
    files = change(unpack(signed(bundle, "EdDSA")))
    with pytest.raises(PolicyUnreadableError, match=why):
        read_release(pack(files), keys)


def test_a_path_that_leads_out_of_the_policy_is_refused(bundle: Bundle, algorithm: str, public_key: Path) -> None:
    """Also in a bundle that a trusted key signed: its files are written below a temporary folder."""
    files = unpack(signed(bundle, algorithm))
    source = unpack(files[SOURCE])
    for name in ("../evil.rego", "/srv/evil.rego", "schemas/../../evil.json", "config/../../../evil/data.json"):
        changed = {**files, SOURCE: pack({**source, name: b"package evil"})}
        del changed[SIGNATURES]
        changed[SIGNATURES] = signatures_of(changed, ALGORITHMS[algorithm], "default")
        with pytest.raises(PolicyInvalidError, match="is no path within the folder"):
            read_release(pack(changed), read_verification_keys(public_key))


def test_half_of_it_is_unreadable(bundle: Bundle) -> None:
    release = signed(bundle, "EdDSA")
    with pytest.raises(PolicyUnreadableError, match=r"is not a tar\.gz"):
        read_release(release[: len(release) // 2], ())
    with pytest.raises(PolicyUnreadableError, match="was not written by"):
        read_release(bundle.content, ())


@pytest.mark.parametrize("name", ["release_format", "bundle_format", "opa_version"])
def test_another_version_is_invalid(bundle: Bundle, name: str) -> None:
    files = unpack(make_release(bundle, "", 0))
    manifest = json.loads(files[MANIFEST])
    manifest["metadata"]["placet"][name] = "99"
    with pytest.raises(PolicyInvalidError, match=f"has the {name} '99'"):
        read_release(pack(files | {MANIFEST: json.dumps(manifest).encode()}), ())


def test_a_key_of_any_kind_is_read_or_refused(tmp_path: Path) -> None:
    both = b"".join(write_public(key, tmp_path / "one.pem").read_bytes() for key in ALGORITHMS.values())
    (tmp_path / "both.pem").write_bytes(both)
    assert len(read_verification_keys(tmp_path / "both.pem")) == len(ALGORITHMS)
    other = rsa.generate_private_key(65537, 2048)
    with pytest.raises(ConfigurationError, match="neither a P-256 nor an Ed25519 key"):
        read_signing_key(write_private(other, tmp_path / "rsa.pem"))
    with pytest.raises(ConfigurationError, match="neither P-256 nor Ed25519"):
        read_verification_keys(write_public(other, tmp_path / "rsa.pub"))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigurationError, match="has no public key"):
        read_verification_keys(tmp_path / "empty.pem")
