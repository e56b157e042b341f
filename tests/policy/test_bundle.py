from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
import time
from pathlib import Path

import pytest

from placet.kernel.errors import ConfigurationError, PolicyInvalidError
from placet.kernel.exact_json import exact_json
from placet.kernel.model import ToolClass
from placet.policy.bundles import bundle as bundle_module
from placet.policy.bundles.bundle import Bundle, build_bundle
from placet.policy.bundles.bundle_cache import BUNDLES_KEPT, BundleCache
from placet.policy.files.archive import pack, unpack
from placet.policy.toolchain.process import ProcessResult, run

WARM_SECONDS_MAX = 0.2
"""A bundle of 50 modules from the cache."""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bundles"


def evaluated(opa: Path, bundle: Bundle, query: str) -> object:
    ended = run(opa, ["eval", "--bundle", str(bundle.path), "--format", "raw", query])
    return json.loads(ended.stdout)


def no_opa(tmp_path: Path) -> Path:
    return tmp_path / "no-opa-is-run"


def test_a_bundle_holds_policy_data_and_tenants(rego_dir: Path, opa: Path, cache: Path) -> None:
    bundle = build_bundle(rego_dir, opa, cache)
    assert bundle.path == cache / f"{bundle.revision}.tar.gz"
    assert len(bundle.revision) == 32
    assert bundle.agent_policies["acme"].tool_class("pay") is ToolClass.WRITE
    assert bundle.path.read_bytes() == bundle.content
    with tarfile.open(bundle.path) as archive:
        assert sorted(archive.getnames()) == [
            "/.manifest",
            "/placet/compiled/compiled.rego",
            "/placet/compiled/data.json",
            "/placet/lib/lib.rego",
            "/placet/main/main.rego",
            "/policy/refunds/data.json",
            "/policy/refunds/refunds.rego",
            "/tenants/data.json",
        ]
        manifest = archive.extractfile("/.manifest")
        assert manifest is not None
        assert json.load(manifest)["revision"] == bundle.revision
    assert evaluated(opa, bundle, "data.tenants.acme.packs.refunds") == {"limit_minor_units": 50, "share": 0.25}
    assert evaluated(opa, bundle, "data.policy.refunds.defaults.per_currency") == {"USD": 1, "EUR": 2}
    assert evaluated(opa, bundle, "count(data.tenants.acme)") == 19


@pytest.mark.parametrize("name", ["schemas", "config", "capabilities.json", "data.json", "build"])
def test_no_pack_is_left_out_for_its_name(rego_dir: Path, opa: Path, cache: Path, name: str) -> None:
    pack = rego_dir / "placet/baseline" / name / f"{name}.rego"
    pack.parent.mkdir(parents=True)
    pack.write_text(f'package placet.baseline["{name}"]\n\nanswer := 42\n')
    bundle = build_bundle(rego_dir, opa, cache)
    assert evaluated(opa, bundle, f'data.placet.baseline["{name}"].answer') == 42


def test_a_schema_is_no_data(rego_dir: Path, opa: Path, cache: Path) -> None:
    (rego_dir / "schemas/data.json").write_text("{}")
    bundle = build_bundle(rego_dir, opa, cache)
    assert evaluated(opa, bundle, "object.keys(data)") == ["placet", "policy", "tenants"]


def test_a_bundle_that_lacks_a_module_is_not_served(
    rego_dir: Path, opa: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = ["--ignore", "refunds.rego"]
    monkeypatch.setattr(
        bundle_module, "run", lambda program, arguments, cwd: run(program, [*arguments, *lacking], cwd=cwd)
    )
    with pytest.raises(PolicyInvalidError, match=r"refunds\.rego: opa build left it out"):
        build_bundle(rego_dir, opa, cache)
    assert not list(cache.glob("*.tar.gz"))


def test_decimals_stand_in_the_bundle_digit_by_digit(rego_dir: Path, opa: Path, cache: Path) -> None:
    config = rego_dir / "config/acme.yaml"
    config.write_text(config.read_text().replace("share: 0.25", "share: 0.100000000000000001"))
    bundle = build_bundle(rego_dir, opa, cache)
    with tarfile.open(bundle.path) as archive:
        data = archive.extractfile("/tenants/data.json")
        assert data is not None
        assert b'"share":0.100000000000000001' in data.read()


def test_a_known_revision_is_taken_without_opa(rego_dir: Path, opa: Path, cache: Path, tmp_path: Path) -> None:
    built = build_bundle(rego_dir, opa, cache)
    assert build_bundle(rego_dir, no_opa(tmp_path), cache) == built
    assert [path.name for path in cache.iterdir()] == [built.path.name]


def test_only_the_owner_may_enter_the_cache(rego_dir: Path, opa: Path, cache: Path) -> None:
    build_bundle(rego_dir, opa, cache)
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_cache_is_built_anew(rego_dir: Path, opa: Path, cache: Path, damage: bytes | None) -> None:
    bundle = build_bundle(rego_dir, opa, cache)
    whole = bundle.path.read_bytes()
    bundle.path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert build_bundle(rego_dir, opa, cache) == bundle
    assert evaluated(opa, bundle, "count(data.tenants.acme)") == 19


WIDENED = b"""package placet.main

decisions[i] := {"effect": "allow", "rule_id": "a.b", "findings": []} if some i, _ in input.batch
"""


def repacked(path: Path, member: str, content: bytes) -> bytes:
    """The bundle with another content of one member, under the same manifest."""
    files = unpack(path.read_bytes())
    assert member in files
    return pack({**files, member: content})


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("/placet/main/main.rego", WIDENED),
        ("/placet/main/main.rego", b"package placet.main\n"),
        ("/policy/refunds/refunds.rego", b"package policy.refunds\n"),
        ("/tenants/data.json", b"{}"),
        ("/policy/refunds/data.json", b'{"defaults":{"limit_minor_units":9000000}}'),
    ],
)
def test_a_bundle_that_was_repacked_under_its_true_revision_is_refused_told_and_built_anew(
    rego_dir: Path, opa: Path, cache: Path, member: str, content: bytes
) -> None:
    bundle = build_bundle(rego_dir, opa, cache)
    bundle.path.write_bytes(repacked(bundle.path, member, content))
    told: list[Path] = []
    again = build_bundle(rego_dir, opa, cache, told.append)
    assert told == [bundle.path]
    assert again.content == bundle.content == bundle.path.read_bytes()
    assert evaluated(opa, again, "data.tenants.acme.packs.refunds.limit_minor_units") == 50


def test_a_module_that_was_added_to_a_cached_bundle_is_refused(rego_dir: Path, opa: Path, cache: Path) -> None:
    bundle = build_bundle(rego_dir, opa, cache)
    bundle.path.write_bytes(pack({**unpack(bundle.path.read_bytes()), "/policy/x/x.rego": b"package policy.x\n"}))
    told: list[Path] = []
    assert build_bundle(rego_dir, opa, cache, told.append).content == bundle.content == bundle.path.read_bytes()
    assert told == [bundle.path]


def test_the_bytes_follow_from_the_files(rego_dir: Path, opa: Path, cache: Path, tmp_path: Path) -> None:
    first = build_bundle(rego_dir, opa, cache)
    other = tmp_path / "other"
    shutil.copytree(rego_dir, other)
    assert build_bundle(other, opa, tmp_path / "elsewhere").content == first.content


def test_old_bundles_are_thrown_away_but_for_what_is_needed(rego_dir: Path, opa: Path, cache: Path) -> None:
    pack = rego_dir / "policy/refunds/refunds.rego"
    text = pack.read_text()
    first = build_bundle(rego_dir, opa, cache)
    revisions = []
    for number in range(BUNDLES_KEPT + 2):
        pack.write_text(f"{text}\n# {number}\n")
        revisions.append(build_bundle(rego_dir, opa, cache, needed=(first.revision,)).revision)
    kept = {path.name.removesuffix(".tar.gz") for path in cache.iterdir()}
    assert kept == {first.revision, *revisions[-BUNDLES_KEPT:]}


def test_a_bundle_that_is_used_again_is_not_the_oldest(rego_dir: Path, opa: Path, cache: Path) -> None:
    first = build_bundle(rego_dir, opa, cache)
    os.utime(first.path, (0, 0))
    build_bundle(rego_dir, opa, cache)
    assert first.path.stat().st_mtime > 0


def test_a_bundle_of_another_revision_under_this_name_is_not_taken(rego_dir: Path, opa: Path, cache: Path) -> None:
    first = build_bundle(rego_dir, opa, cache)
    (rego_dir / "config/globex.yaml").write_text("agent_policy: {}")
    second = build_bundle(rego_dir, opa, cache)
    shutil.copy(first.path, second.path)
    build_bundle(rego_dir, opa, cache)
    assert sorted(evaluated(opa, second, "object.keys(data.tenants)")) == ["acme", "globex"]  # type: ignore[call-overload] # JSON


def test_the_revision_is_of_the_content_alone(rego_dir: Path, opa: Path, cache: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    for path in sorted(rego_dir.rglob("*"), reverse=True):
        if path.is_file():
            copy = other / path.relative_to(rego_dir)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (other / "policy/refunds/refunds_test.rego").write_text("package policy.refunds_test\n")
    (other / "config/acme.yaml").write_text("# a comment\n" + (other / "config/acme.yaml").read_text())
    assert build_bundle(other, opa, cache).revision == build_bundle(rego_dir, opa, cache).revision


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("policy/refunds/refunds.rego", "needs a person", "needs someone"),
        ("policy/refunds/data.yaml", "limit_minor_units: 100", "limit_minor_units: 101"),
        ("config/acme.yaml", "share: 0.25", "share: 0.26"),
        ("config/acme.yaml", "sensitive: [/to]", "sensitive: [/from]"),
        ("schemas/input.json", '"batch"', '"batches"'),
        ("capabilities.json", '"allow_net": []', '"allow_net": [ ]'),
    ],
)
def test_every_input_counts(rego_dir: Path, name: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BundleCache, "contains", lambda *_: True)
    path = rego_dir / name
    before = build_bundle(rego_dir, Path("opa"), Path("cache")).revision
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    assert build_bundle(rego_dir, Path("opa"), Path("cache")).revision != before


def test_the_version_of_opa_counts(rego_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BundleCache, "contains", lambda *_: True)
    before = build_bundle(rego_dir, Path("opa"), Path("cache")).revision
    monkeypatch.setattr(bundle_module, "opa_version", lambda: "9.9.9")
    assert build_bundle(rego_dir, Path("opa"), Path("cache")).revision != before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("policy/refunds/refunds.rego", "package policy.refunds\n\nx := {\n", "refunds.rego:4: unexpected eof token"),
        (
            "policy/refunds/refunds.rego",
            "package policy.refunds\n\ndeny contains 1\n",
            "refunds.rego:3: this deny rule",
        ),
        (
            "policy/refunds/refunds.rego",
            "package policy.refunds\n\nx := http.send({})\n",
            "refunds.rego:3: the builtin http.send is forbidden",
        ),
        ("policy/refunds/data.yaml", "a: [", "data.yaml:2: is not YAML"),
        ("config/acme.yaml", "agent_policy: {alow: 1}", "acme.yaml:1: agent_policy.alow: unknown key"),
        (
            "config/acme.yaml",
            'agent_policy: {write_tools: [a], destinations: {a: ["[a"]}}',
            'acme.yaml:1: agent_policy.destinations.a: "[a" is not a glob pattern',
        ),
        (
            "config/acme.yaml",
            'agent_policy: {write_tools: [a], tools: {a: {params_schema: {properties: {b: {pattern: "(?=x)"}}}}}}',
            "acme.yaml:1: agent_policy.tools.a.params_schema.properties.b.pattern: is not a regular",
        ),
    ],
)
def test_what_is_wrong_is_not_built(rego_dir: Path, opa: Path, cache: Path, name: str, content: str, said: str) -> None:
    (rego_dir / name).write_text(content)
    with pytest.raises(PolicyInvalidError) as raised:
        build_bundle(rego_dir, opa, cache)
    assert f"{rego_dir / Path(name).parent}/{said}" in str(raised.value)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_build_that_opa_refuses(rego_dir: Path, cache: Path, opa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "run", lambda *_, **__: ProcessResult(1, "", "\nerror: no room\n"))
    with pytest.raises(PolicyInvalidError) as raised:
        build_bundle(rego_dir, opa, cache)
    assert str(raised.value) == f"{rego_dir}: opa build failed: error: no room"
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as raised:
        build_bundle(rego_dir, opa, tmp_path / "file" / "bundles")
    assert (
        str(raised.value)
        == f"{tmp_path}/file/bundles: cannot be written: Not a directory; make it writable or set data_dir"
    )


def test_two_at_once_make_one_file(rego_dir: Path, opa: Path, cache: Path) -> None:
    built: list[Bundle] = []
    threads = [threading.Thread(target=lambda: built.append(build_bundle(rego_dir, opa, cache))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(built) == 4
    assert len({bundle.revision for bundle in built}) == 1
    assert [path.name for path in cache.iterdir()] == [built[0].path.name]


def test_a_warm_start_is_quick(rego_dir: Path, opa: Path, cache: Path) -> None:
    for number in range(50):
        folder = rego_dir / "policy" / f"pack{number}"
        folder.mkdir()
        text = (rego_dir / "policy/refunds/refunds.rego").read_text()
        text = text.replace("package policy.refunds", f"package policy.pack{number}").replace(
            "refunds.over", f"p{number}.over"
        )
        (folder / "pack.rego").write_text(text)
    build_bundle(rego_dir, opa, cache)
    times = []
    for _ in range(3):
        began = time.process_time()
        build_bundle(rego_dir, opa, cache)
        times.append(time.process_time() - began)
    assert min(times) < WARM_SECONDS_MAX


def test_what_json_cannot_hold_exactly_is_no_policy_data() -> None:
    with pytest.raises(TypeError, match="complex"):
        exact_json({"a": 1j})
