"""deploy/compose.yaml and deploy/Dockerfile: TLS, authenticated callers, read-only containers, a health check.

tests/cli/test_health_command.py runs a server with the same settings, without containers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from placet.authentication.file import read_authentication_file
from placet.server.settings import Settings
from tests.packaging.environments import ROOT


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    found: dict[str, Any] = document["services"]
    return found


def test_the_command_has_valid_settings_without_unsafe_ones(services: dict[str, Any]) -> None:
    _, *flags = services["placet"]["command"]
    given = {name.replace("-", "_"): value for name, value in re.findall(r"--([a-z-]+)=(\S+)", "\n".join(flags))}
    settings = Settings(**given)
    assert "unsafe" not in (ROOT / "deploy/compose.yaml").read_text()
    assert (settings.auth_file, settings.listen) == ("/etc/placet/auth.toml", "0.0.0.0:7070")
    assert settings.tls_files is not None
    assert "./auth.toml:/etc/placet/auth.toml:ro" in services["placet"]["volumes"]
    assert [method.value for method in read_authentication_file(ROOT / "deploy/auth.toml").accept] == ["token"]


def test_every_container_is_restricted(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_only_placet_reaches_opa_and_only_the_host_reaches_placet(services: dict[str, Any]) -> None:
    assert services["opa"]["network_mode"] == "service:placet"
    assert services["opa"]["command"] == ["--addr=127.0.0.1:8181"]
    assert services["placet"]["ports"] == ["127.0.0.1:7070:7070"]


def test_the_health_check_trusts_the_generated_ca(services: dict[str, Any]) -> None:
    check = services["placet"]["healthcheck"]["test"]
    assert check[:4] == ["CMD", "env", "PLACET_TLS_CA_FILE=/etc/placet/tls/ca.crt", "placet"]
    [script] = services["certificates"]["command"]
    assert "placet dev-certs /etc/placet/tls" in script
    assert "--host 127.0.0.1" in script, "the health check connects to this name"


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
