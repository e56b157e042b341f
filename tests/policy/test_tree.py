from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from placet.kernel.errors import PolicyInvalidError
from placet.policy.files import folder as folder_module
from placet.policy.files.folder import source_digest
from placet.policy.files.tree import read_tree, tree_of


def problems(rego_dir: Path) -> list[str]:
    with pytest.raises(PolicyInvalidError) as raised:
        read_tree(rego_dir)
    return [str(problem).removeprefix(f"{rego_dir}/") for problem in raised.value.problems]


def test_each_file_has_its_place(rego_dir: Path) -> None:
    (rego_dir / "README.md").write_text("read by nothing, on purpose")
    (rego_dir / ".hidden").mkdir()
    (rego_dir / ".hidden" / "x.rego").write_text("package x")
    tree = read_tree(rego_dir)
    assert sorted(tree.modules) == ["placet/lib/lib.rego", "placet/main/main.rego", "policy/refunds/refunds.rego"]
    assert sorted(tree.tests) == ["placet/main/main_test.rego", "policy/refunds/refunds_test.rego"]
    assert sorted(tree.data) == ["policy/refunds/data.yaml"]
    assert sorted(tree.tenants) == ["config/acme.yaml"]
    assert tree.where("a/b", 3) == f"{rego_dir}/a/b:3"


def test_data_of_all_folders_is_one_document(rego_dir: Path) -> None:
    (rego_dir / "data.json").write_text('{"policy": {"other": 1, "refunds": 2}, "x": {"y": 1}}')
    (rego_dir / "x").mkdir()
    (rego_dir / "x" / "data.yaml").write_text("z: 2")
    nested = read_tree(rego_dir).nested_data()
    assert nested["x"] == {"y": 1, "z": 2}
    assert nested["policy"]["other"] == 1
    assert read_tree(rego_dir).data["data.json"].value["x"] == {"y": 1}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "config/acme.yml",
            "config/acme.yml: Placet does not read a file of this name (tenant files are config/<tenant>.yaml)",
        ),
        (
            "config/eu/acme.yaml",
            "config/eu/acme.yaml: Placet does not read a file of this name (tenant files are config/<tenant>.yaml)",
        ),
        (
            "config/data.json",
            "config/data.json: Placet does not read a file of this name (tenant files are config/<tenant>.yaml)",
        ),
        (
            "policy/refunds/data.yml",
            "policy/refunds/data.yml: Placet does not read a file of this name (did you mean data.yaml?)",
        ),
        (
            "policy/refunds/defaults.json",
            "policy/refunds/defaults.json: Placet does not read a file of this name (did you mean data.json?)",
        ),
        (
            "capabilites.json",
            "capabilites.json: Placet does not read a file of this name (did you mean capabilities.json?)",
        ),
    ],
)
def test_a_file_that_opa_would_pass_over_in_silence(rego_dir: Path, name: str, said: str) -> None:
    (rego_dir / name).parent.mkdir(exist_ok=True)
    (rego_dir / name).write_text("{}")
    assert problems(rego_dir) == [said]


def test_two_data_files_in_one_folder(rego_dir: Path) -> None:
    (rego_dir / "policy/refunds/data.json").write_text("{}")
    assert problems(rego_dir) == [
        "policy/refunds/data.yaml: is in the same folder as a data.json (keep one of the two)"
    ]


def test_data_that_is_none(rego_dir: Path) -> None:
    (rego_dir / "policy/refunds/data.yaml").write_text("[1]")
    (rego_dir / "data.json").write_text("{")
    assert problems(rego_dir) == [
        "data.json:1: is not JSON: Expecting property name enclosed in double quotes",
        "policy/refunds/data.yaml: should be a mapping (write `key: value` lines)",
    ]


def test_what_must_be_there(rego_dir: Path) -> None:
    for path in [*rego_dir.rglob("*.rego"), rego_dir / "capabilities.json", rego_dir / "schemas/input.json"]:
        path.unlink()
    copy = "from the policy that ships with Placet"
    assert problems(rego_dir) == [
        f"capabilities.json: is missing, so nothing limits what policy may call (copy it {copy})",
        f"schemas/input.json: is missing, so misspelt input fields would go unnoticed (copy it {copy})",
        f"{rego_dir}: holds no policy (*.rego) (copy one {copy})",
    ]


def test_a_folder_that_holds_something_else_is_one_problem(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"values-{number}.yaml").write_text("a: b: c\n")
    assert [line.partition(" (")[0] for line in problems(tmp_path)] == [
        "capabilities.json: is missing, so nothing limits what policy may call",
        "schemas/input.json: is missing, so misspelt input fields would go unnoticed",
        f"{tmp_path}: holds no policy",
    ]


def test_a_link_to_nowhere_a_pipe_and_a_file_too_large(rego_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "FILE_BYTES_MAX", 100_000)
    (rego_dir / "policy/refunds/gone.rego").symlink_to("nowhere")
    os.mkfifo(rego_dir / "policy/refunds/pipe.rego")
    (rego_dir / "policy/refunds/vast.rego").write_bytes(b"#" * 100_001)
    assert problems(rego_dir) == [
        "policy/refunds/gone.rego: cannot be read: not a regular file, or a dangling link (fix or remove the file)",
        "policy/refunds/pipe.rego: cannot be read: not a regular file, or a dangling link (fix or remove the file)",
        "policy/refunds/vast.rego: cannot be read: larger than 100000 bytes (fix or remove the file)",
    ]


def test_a_file_that_may_not_be_read(rego_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (rego_dir / "policy/refunds/refunds.rego").chmod(0)
    monkeypatch.setattr(folder_module, "_read", denied)  # root reads everything, so the refusal is played
    assert "policy/refunds/refunds.rego: cannot be read: Permission denied (fix or remove the file)" in problems(
        rego_dir
    )


def test_a_kubernetes_volume_is_read_once(rego_dir: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    rego_dir.rename(volume / "..2026")
    (volume / "..data").symlink_to("..2026")
    for entry in sorted((volume / "..2026").iterdir()):
        (volume / entry.name).symlink_to(Path("..data") / entry.name)
    assert sorted(read_tree(volume).modules) == [
        "placet/lib/lib.rego",
        "placet/main/main.rego",
        "policy/refunds/refunds.rego",
    ]


def test_a_link_to_a_folder_above_ends(rego_dir: Path) -> None:
    (rego_dir / "policy" / "loop").symlink_to(rego_dir)
    assert max(read_tree(rego_dir).modules) == "policy/refunds/refunds.rego"


def test_source_digest_sees_every_change(rego_dir: Path) -> None:
    seen = {source_digest(rego_dir)}
    module = rego_dir / "policy/refunds/refunds.rego"
    content = module.read_bytes()
    assert source_digest(rego_dir) in seen

    def changed() -> bool:
        digest = source_digest(rego_dir)
        new = digest not in seen
        seen.add(digest)
        return new

    module.write_bytes(content + b"\n")
    assert changed()
    (rego_dir / "config/globex.yaml").write_text("agent_policy: {}")
    assert changed()
    (rego_dir / "config/globex.yaml").unlink()
    (rego_dir / "policy/refunds/gone.rego").symlink_to("nowhere")
    assert changed()
    other = module.with_name("other")
    other.write_bytes(content + b"\n")
    os.utime(other, ns=(module.stat().st_atime_ns, module.stat().st_mtime_ns))
    other.replace(module)
    assert changed()


def test_a_folder_that_cannot_be_listed_is_not_passed_over(rego_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("refunds"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root lists everything, so the refusal is played
    said = "policy/refunds: cannot be listed: Permission denied (fix or remove the folder)"
    assert problems(rego_dir) == [said]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for read in (read_tree, source_digest):
        with pytest.raises(PolicyInvalidError, match=r"no such folder .*--rego-dir"):
            read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.rego",
        "policy/../../evil.rego",
        "policy/../evil.rego",
        "/srv/evil.rego",
        "./evil.rego",
        "policy//evil.rego",
        "policy/./evil.rego",
        "policy/evil\0.rego",
        "..",
        "",
    ],
)
def test_no_file_leads_out_of_the_tree_or_takes_the_place_of_another(name: str) -> None:
    """A bundle can hold such names, a folder cannot."""
    right = {"capabilities.json": b"{}", "schemas/input.json": b"{}", "policy/evil.rego": b"package policy"}
    assert tree_of(Path("bundle"), right).modules == {"policy/evil.rego": b"package policy"}
    with pytest.raises(PolicyInvalidError, match="is no path within the folder") as raised:
        tree_of(Path("bundle"), {**right, name: b"package evil"})
    assert str(raised.value).isprintable()
