"""docs/how-to/deploy-kubernetes.md: its secrets are those that the manifests refer to, its keys are copied."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from tests.docs.blocks import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs/how-to/deploy-kubernetes.md"
MANIFESTS = ROOT / "deploy/k8s"
FROM_PAGE = re.compile(
    r"create (?:secret generic|configmap) (\S+)((?:\s+--from-\S+(?:'[^']*'|\$\([^)]*\))?\S*|\s*\\\n)*)"
)


def commands() -> str:
    return "\n".join(block.text for block in blocks(PAGE) if block.language == "sh")


def created() -> dict[str, set[str]]:
    """Return the secrets and maps that the page creates, with the keys of their data."""
    found: dict[str, set[str]] = {}
    for name, options in FROM_PAGE.findall(commands()):
        keys = re.findall(r"--from-(?:file|literal)=([\w.-]+)", options)
        found[name] = set(keys)
    return found


def referred(node: Any) -> Iterator[tuple[str, str]]:
    """Yield what a manifest takes from secrets and maps: the name, and the key or ""."""
    if isinstance(node, dict):
        if "secretKeyRef" in node:
            yield node["secretKeyRef"]["name"], node["secretKeyRef"]["key"]
        for kind, key in (("secret", "secretName"), ("configMap", "name")):
            source = node.get(kind)
            if isinstance(source, dict) and key in source:
                yield from ((source[key], item["key"]) for item in source.get("items", [{"key": ""}]))
        for value in node.values():
            yield from referred(value)
    elif isinstance(node, list):
        for value in node:
            yield from referred(value)


def test_the_page_creates_what_the_manifests_refer_to() -> None:
    documents = [
        document
        for folder in ("base", "upgrade")
        for file in (MANIFESTS / folder).glob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
    ]
    wanted = set(referred(documents)) - {("placet-settings", "")}  # the overlay generates this one
    assert {name for name, _ in wanted} == set(created())
    for name, key in wanted:
        assert not key or key in created()[name], f"the page creates {name} without {key}"


def test_the_objects_of_the_page_exist() -> None:
    text = "".join(file.read_text() for file in MANIFESTS.rglob("*.yaml"))
    for kind, name in re.findall(r"\b(statefulset|job)[/ ](placet[\w-]*)", commands()):
        proper = {"statefulset": "StatefulSet", "job": "Job"}[kind]
        assert re.search(rf"kind: {proper}\nmetadata:\n  name: {name}\n", text), f"{kind}/{name}"
    for folder in re.findall(r"apply -k (\S+)", commands()):
        assert (ROOT / folder / "kustomization.yaml").is_file()


def test_the_container_of_keys_copies_the_public_keys_of_the_page(tmp_path: Path) -> None:
    public, data = tmp_path / "public", tmp_path / "data"
    public.mkdir()
    [names] = re.findall(r"create configmap placet-audit-keys (.*)$", commands(), re.MULTILINE)
    for name in re.findall(r"--from-file=(\S+)", names):
        (public / name).write_text(name)
    [spec] = [
        each["spec"]["template"]["spec"]
        for each in yaml.safe_load_all((MANIFESTS / "base/stateful-set.yaml").read_text())
    ]
    [script] = [each["command"][-1] for each in spec["initContainers"] if each["name"] == "keys"]
    script = script.replace("/etc/placet/audit-keys", str(public))
    for _ in range(2):  # again at a restart of the pod
        subprocess.run(["sh", "-euc", script], env={"PLACET_DATA_DIR": str(data), "PATH": "/usr/bin:/bin"}, check=True)
    copied = {path.name: path.stat().st_mode & 0o777 for path in (data / "keys").iterdir()}
    assert copied == {"audit_placet-0.pub.pem": 0o600, "audit_placet-1.pub.pem": 0o600}
