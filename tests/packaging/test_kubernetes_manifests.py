"""deploy/k8s: each object has the schema of Kubernetes, and keeps what makes it safe and available."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # published without types
import pytest
import yaml

from placet.authentication.file import read_authentication_file
from placet.server.settings.model import Settings
from tests.packaging.environments import ROOT

FOLDER = ROOT / "deploy/k8s"
KUSTOMIZE = {"Kustomization", "Component"}
WITHOUT_SCHEMA = {"ServiceMonitor"}
"""Custom resources, whose schemas are not those of Kubernetes."""
PROGRAM = ROOT / ".tools/bin/kustomize"
FILES = sorted(FOLDER.rglob("*.yaml"))
ROOTS = ["base", "overlays/production", "upgrade"]


def objects(text: str) -> list[dict[str, Any]]:
    documents = [document for document in yaml.safe_load_all(text) if isinstance(document, dict)]
    return [document for document in documents if document.get("kind") not in KUSTOMIZE]


def every_object() -> list[dict[str, Any]]:
    return [each for file in FILES for each in objects(file.read_text())]


def of_kind(kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in every_object() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(kind, name)["spec"]["template"]["spec"]
    return spec


PODS = [("StatefulSet", "placet"), ("Job", "placet-upgrade")]


def require_valid(found: list[dict[str, Any]]) -> None:
    checked = [each for each in found if each["kind"] not in WITHOUT_SCHEMA]
    assert checked
    for each in checked:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_each_file_has_valid_objects(file: Path) -> None:
    found = [each for each in objects(file.read_text()) if each["kind"] not in WITHOUT_SCHEMA]
    if found:
        require_valid(found)
    assert yaml.safe_load(file.read_text().split("\n---\n", maxsplit=1)[0]), "no file is empty"


def built(root: str) -> list[dict[str, Any]]:
    """Return the objects that `kubectl apply -k` would apply: kubectl contains kustomize."""
    if not PROGRAM.exists():
        pytest.fail(f"no {PROGRAM}. Remedy: make tool-kustomize")
    done = subprocess.run([PROGRAM, "build", FOLDER / root], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return objects(done.stdout)


@pytest.mark.parametrize("root", ROOTS)
def test_kustomize_builds_valid_objects(root: str) -> None:
    found = built(root)
    require_valid(found)
    assert {each["metadata"].get("namespace", "placet") for each in found} == {"placet"}


def test_the_overlay_replaces_images_callers_and_networks() -> None:
    found = {(each["kind"], each["metadata"]["name"]): each for each in built("overlays/production")}
    spec = found["StatefulSet", "placet"]["spec"]["template"]["spec"]
    used = {container["image"] for container in (*spec["initContainers"], *spec["containers"])}
    assert used == {"registry.example.org/placet:0.1.0", "registry.example.org/placet-opa:0.1.0"}
    [settings] = [volume["configMap"]["name"] for volume in spec["volumes"] if volume["name"] == "settings"]
    data = found["ConfigMap", settings]["data"]
    assert data["auth.toml"] == (FOLDER / "overlays/production/auth.toml").read_text()
    assert data["placet.toml"] == (FOLDER / "base/placet.toml").read_text()
    egress = found["NetworkPolicy", "placet"]["spec"]["egress"]
    assert {"ipBlock": {"cidr": "10.20.0.0/24"}} in [to for rule in egress for to in rule.get("to", [])]


def test_a_wrong_field_is_refused() -> None:
    wrong = of_kind("PodDisruptionBudget", "placet")
    wrong["spec"]["minAvailabel"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        require_valid([wrong])


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_every_container_is_restricted(kind: str, name: str) -> None:
    spec = pod(kind, name)
    of_pod = spec["securityContext"]
    assert (of_pod["runAsNonRoot"], of_pod["seccompProfile"]["type"]) == (True, "RuntimeDefault")
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False, "Placet refuses the variables PLACET_SERVICE_HOST and PLACET_PORT"
    containers = [*spec["initContainers"], *spec["containers"]]
    assert len(containers) >= 2
    for container in containers:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_no_secret_is_in_the_manifests() -> None:
    assert [each["kind"] for each in every_object() if each["kind"] == "Secret"] == []
    referred = {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]["name"]
        for container in pod("StatefulSet", "placet")["containers"]
        for variable in container["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert referred == {"PLACET_DATABASE_URL": "placet-database"}
    upgrade = pod("Job", "placet-upgrade")
    owners = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for container in (*upgrade["initContainers"], *upgrade["containers"])
        for variable in container["env"]
    }
    assert owners == {"placet-database-owner"}, "servers do not hold the owner's password"


def test_the_permit_keys_are_shared_and_what_encrypts_them_is_a_reference() -> None:
    settings = tomllib.loads((FOLDER / "base/placet.toml").read_text())
    file = Path(settings["permit_key_encryption_file"])
    spec = pod("StatefulSet", "placet")
    [container] = spec["containers"]
    [mount] = [each for each in container["volumeMounts"] if each["mountPath"] == str(file.parent)]
    [volume] = [each for each in spec["volumes"] if each["name"] == mount["name"]]
    assert (mount["readOnly"], volume["secret"]["defaultMode"]) == (True, 0o440), "Placet refuses a file of all users"
    assert f"--from-file={file.name}=" in (ROOT / "docs/how-to/deploy-kubernetes.md").read_text()


def test_two_replicas_on_two_nodes_of_which_one_may_be_drained() -> None:
    replicas = of_kind("StatefulSet", "placet")["spec"]
    labels = replicas["selector"]["matchLabels"]
    assert replicas["replicas"] == 2
    budget = of_kind("PodDisruptionBudget", "placet")["spec"]
    assert (budget["minAvailable"], budget["selector"]["matchLabels"]) == (1, labels)
    spread = {each["topologyKey"]: each for each in replicas["template"]["spec"]["topologySpreadConstraints"]}
    assert spread["kubernetes.io/hostname"]["whenUnsatisfiable"] == "DoNotSchedule"
    assert all(each["labelSelector"]["matchLabels"] == labels for each in spread.values())
    for service in ("placet", "placet-replicas"):
        assert of_kind("Service", service)["spec"]["selector"] == labels


def test_only_placet_reaches_opa() -> None:
    [opa] = [each for each in pod("StatefulSet", "placet")["initContainers"] if each["name"] == "opa"]
    assert opa["args"] == ["--addr=127.0.0.1:8181"]
    assert opa["restartPolicy"] == "Always"
    assert "ports" not in opa
    everything = of_kind("NetworkPolicy", "deny-all")["spec"]
    assert (everything["podSelector"], everything["policyTypes"]) == ({}, ["Ingress", "Egress"])
    assert "ingress" not in everything
    ingress = of_kind("NetworkPolicy", "placet")["spec"]["ingress"]
    opened = {port["port"] for rule in ingress for port in rule["ports"]}
    assert opened == {"grpc", "grpc-mtls", "https", "metrics"}
    assert all(rule["from"] for rule in ingress), "no rule is for everyone"


def test_probes_ask_for_the_health_and_restart_only_what_does_not_answer() -> None:
    [placet] = pod("StatefulSet", "placet")["containers"]
    commands = {name: placet[name]["exec"]["command"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    for command in commands.values():
        assert command[2:5] == ["placet", "health", "--address=127.0.0.1:7070"]
    assert "--answers" in commands["livenessProbe"]
    assert "--answers" not in commands["readinessProbe"]


def test_the_settings_authenticate_and_encrypt() -> None:
    settings = Settings(**tomllib.loads((FOLDER / "base/placet.toml").read_text()))
    assert not settings.unsafe_no_auth
    assert settings.tls_files is not None
    for file in ("base/auth.toml", "overlays/production/auth.toml"):
        assert read_authentication_file(FOLDER / file).accept
    ports = {each["name"]: each["containerPort"] for each in pod("StatefulSet", "placet")["containers"][0]["ports"]}
    listening = {"grpc": settings.listen, "grpc-mtls": settings.mtls_listen, "metrics": settings.metrics_listen}
    listening["https"] = settings.http_listen
    assert ports == {name: int(address.rpartition(":")[2]) for name, address in listening.items()}
