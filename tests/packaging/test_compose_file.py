"""deploy/compose.yaml and deploy/Dockerfile: what each container may do, whom it reaches, and how callers come in.

tests/compose starts the file where containers can run, and tests/deployment runs the same topology as processes.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from placet.authentication.file import read_authentication_file
from placet.server.settings.model import Settings
from tests.packaging.environments import ROOT

FILE: Final = ROOT / "deploy/compose.yaml"
SETTINGS: Final = ROOT / "deploy/compose/placet.toml"
REPLICAS: Final = {"placet-a": "a", "placet-b": "b"}
SIDECARS: Final = {"placet-a": "opa-a", "placet-b": "opa-b"}


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


@pytest.fixture(scope="module")
def services(composed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = composed["services"]
    return found


def test_the_settings_are_valid_without_unsafe_ones() -> None:
    settings = Settings(**tomllib.loads(SETTINGS.read_text()))
    assert "unsafe" not in FILE.read_text() + SETTINGS.read_text()
    assert (settings.auth_file, settings.listen) == ("/etc/placet/auth.toml", "0.0.0.0:7070")
    assert settings.tls_files is not None
    assert [method.value for method in read_authentication_file(ROOT / "deploy/compose/auth.toml").accept] == ["token"]


def test_two_replicas_differ_in_name_and_folders_alone(services: dict[str, Any]) -> None:
    for service, name in REPLICAS.items():
        replica = services[service]
        assert replica["environment"]["PLACET_REPLICA_ID"] == name
        assert "sslmode=verify-full" in replica["environment"]["PLACET_DATABASE_URL"]
        assert "//placet_writer@" in replica["environment"]["PLACET_DATABASE_URL"]
        assert {f"data-{name}:/var/lib/placet", f"opa-{name}:/run/opa"} <= set(replica["volumes"])
    first, second = (str(services[service]) for service in REPLICAS)
    assert re.sub(r"\b(opa|data|placet)-a\b|'a'", "", first) == re.sub(r"\b(opa|data|placet)-b\b|'b'", "", second)


def test_every_container_is_restricted(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["user"] == "65532:65532", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_a_sidecar_listens_on_a_socket_that_only_its_replica_has(services: dict[str, Any]) -> None:
    for replica, sidecar in SIDECARS.items():
        assert "--addr=unix:///run/opa/opa.sock" in services[sidecar]["entrypoint"]
        having = [name for name, each in services.items() if f"{sidecar}:/run/opa" in each.get("volumes", ())]
        assert having == [replica, sidecar]
    assert tomllib.loads(SETTINGS.read_text())["opa_address"] == "unix:///run/opa/opa.sock"


def test_only_the_host_reaches_published_ports(composed: dict[str, Any], services: dict[str, Any]) -> None:
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert published == {"envoy": ["127.0.0.1:7443:7443"], "bundles": ["127.0.0.1:7080:7080"]}
    inside = {name for name, network in composed["networks"].items() if network and network.get("internal")}
    assert inside == {"replicas", "policy", "database"}
    assert {name for name, each in services.items() if "outside" in each.get("networks", ())} == set(published)
    assert [name for name, each in services.items() if "database" in each.get("networks", ())] == [
        *REPLICAS,
        "database",
        "upgrade",
    ]


def test_policy_is_signed_and_pulled_with_a_token(services: dict[str, Any]) -> None:
    options = services["bundles"]["command"]
    for needed in ("--pull-token-file", "--push-token-file", "--verification-key", "--tls-cert-file"):
        assert any(option.startswith(f"{needed}=") for option in options), needed
    pulled = yaml.safe_load((ROOT / "deploy/compose/opa.yaml").read_text())
    assert pulled["bundles"]["placet"]["signing"] == {"keyid": "default"}
    assert pulled["services"]["policy"]["url"] == "https://bundles:7080"
    assert "--set-file=keys.default.key=/etc/placet/policy/key.pub.pem" in services["opa-a"]["entrypoint"]


def test_the_health_check_trusts_the_generated_ca(services: dict[str, Any]) -> None:
    for replica in REPLICAS:
        check = services[replica]["healthcheck"]["test"]
        assert check[:4] == ["CMD", "env", "PLACET_TLS_CA_FILE=/etc/placet/tls/ca.crt", "placet"]
    script = (ROOT / "deploy/compose/setup.sh").read_text()
    [hosts] = re.findall(r"placet dev-certs tls(.*)", script)
    assert set(re.findall(r"--host (\S+)", hosts)) == {"localhost", "127.0.0.1", "placet", "bundles", "database"}


def test_the_image_has_a_health_check_and_no_root() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    assert any(line.startswith("HEALTHCHECK ") and line.endswith('CMD ["placet", "health"]') for line in lines)
    final = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER 65532:65532" in final
    assert "VOLUME /var/lib/placet" in final
    copied = {line.split()[1] for line in lines if re.match(r"COPY (?!--from)", line)} - {"."}
    allowed = {
        Path(line[1:]).as_posix() for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert copied <= allowed
