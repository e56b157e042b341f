from __future__ import annotations

import hashlib
import sysconfig
from pathlib import Path

import pytest

import placet.policy.toolchain
from placet.kernel.errors import ConfigurationError
from placet.policy.toolchain import binary, process
from placet.policy.toolchain.binary import find_opa, find_regal, opa_version, version_of
from placet.policy.toolchain.process import run

ROOT = Path(__file__).resolve().parents[2]


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, an empty PATH, and an installation without tools, in `installed`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("placet.policy.toolchain.binary.installation_dir", lambda: tmp_path / "installed")
    return tmp_path


def remedy() -> str:
    return f"run `placet tools install`, or `go install github.com/open-policy-agent/opa@v{opa_version()}`"


def right(path: Path) -> Path:
    return program(path, f"echo 'Version: {opa_version()}'")


def test_the_one_version_is_the_file_beside_the_code() -> None:
    assert opa_version() == Path(placet.policy.toolchain.__file__).with_name("OPA_VERSION").read_text().strip()


def test_real_opa_is_of_that_version(opa: Path) -> None:
    assert version_of(opa) == opa_version()


def test_the_setting_comes_first(nowhere: Path) -> None:
    chosen = right(nowhere / "bin/chosen")
    right(nowhere / "installed/opa")
    found = find_opa("bin/chosen")
    assert (found.path, found.version) == (chosen, opa_version())


def test_then_the_installation_then_path(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = right(nowhere / "path/opa")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_opa().path == on_path
    tools = right(nowhere / "installed/opa")
    assert find_opa().path == tools


@pytest.mark.parametrize("path", ["", ".", ".tools/bin", ":", "bin::."])
def test_nothing_in_the_working_folder_is_run(nowhere: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    for planted in ("opa", "bin/opa", ".tools/bin/opa", "regal", "bin/regal", ".tools/bin/regal"):
        right(nowhere / planted)
    monkeypatch.setenv("PATH", path)
    with pytest.raises(ConfigurationError, match="not found"):
        find_opa()
    assert find_regal() is None


def test_the_installation_is_the_checkout_or_beside_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert binary.installation_dir() == ROOT / ".tools/bin"
    monkeypatch.setattr(binary, "__file__", "/usr/lib/python3/site-packages/placet/policy/toolchain/binary.py")
    assert binary.installation_dir() == Path(sysconfig.get_path("scripts"))


def test_the_digest_of_the_program_is_known(nowhere: Path) -> None:
    path = right(nowhere / "installed/opa")
    assert find_opa().sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_opa_at_all(nowhere: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        find_opa()
    assert str(raised.value) == f"opa: not found in {nowhere}/installed or on PATH; {remedy()}"


def test_a_setting_that_names_no_program(nowhere: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        find_opa(nowhere / "opa")
    assert str(raised.value) == f"{nowhere}/opa: is not an executable file; {remedy()}"


@pytest.mark.parametrize(
    ("script", "actual"),
    [
        ("echo 'Version: 1.17.0'", "is OPA 1.17.0"),
        ("echo hello", "did not print its version"),
        (f"echo 'Version: {opa_version()}'; exit 1", "did not print its version"),
    ],
)
def test_another_version_is_refused_in_one_line(nowhere: Path, script: str, actual: str) -> None:
    path = program(nowhere / "installed/opa", script)
    with pytest.raises(ConfigurationError) as raised:
        find_opa()
    assert str(raised.value) == f"{path}: {actual}, but Placet needs OPA {opa_version()}; {remedy()}"


def test_regal_is_found_or_absent(nowhere: Path) -> None:
    assert find_regal() is None
    regal = program(nowhere / "installed/regal", "true")
    assert find_regal() == regal
    assert find_regal(str(regal)) == regal
    with pytest.raises(ConfigurationError, match="is not an executable file; run `placet tools install`"):
        find_regal("elsewhere/regal")


def test_a_program_that_does_not_end(tmp_path: Path) -> None:
    path = program(tmp_path / "opa", "exec sleep 60")
    with pytest.raises(ConfigurationError) as raised:
        run(path, ["check"], timeout_seconds=0.1)
    assert (
        str(raised.value)
        == f"{path}: `opa check` did not finish within 0.1 s; check that the machine is not overloaded, then try again"
    )


def test_a_program_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "opa"
    path.write_text("no program")
    with pytest.raises(ConfigurationError, match="cannot be run: Permission denied; run `placet tools install`"):
        run(path, ["check"])


def test_a_program_sees_no_environment_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    ended = run(program(tmp_path / "show", "export -p; cat"), ["x"], stdin=b"\xff given")
    assert "hidden" not in ended.stdout
    assert ended.stdout.endswith("\ufffd given")
    assert not process.is_executable(tmp_path)


def test_a_program_of_go_collects_garbage_less_often(tmp_path: Path) -> None:
    ended = run(program(tmp_path / "show", "export -p"), ["x"])
    assert 'GOGC="400"' in ended.stdout.replace("'", '"')
    assert 'GOMEMLIMIT="512MiB"' in ended.stdout.replace("'", '"')
