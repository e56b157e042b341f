"""Settings of a server that listens on a unix socket."""

from __future__ import annotations

from typing import Any

import pytest

from placet.kernel.errors import ConfigurationError
from placet.sdk import Client
from placet.server.settings.sources import load_settings

TOKEN = "t"  # noqa: S105 - no secret
SOCKET = "unix:/run/placet/placet.sock"
CLIENT_CA = {"tls_cert_file": "a.crt", "tls_key_file": "a.key", "tls_client_ca_file": "ca.crt"}


def problem(flags: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(flags)
    [line] = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize("listen", [SOCKET, "unix:///run/placet/placet.sock"])
def test_no_credentials_are_needed(listen: str) -> None:
    """As on loopback: the rights of the file say who connects."""
    settings, _ = load_settings({"listen": listen})
    assert (settings.listen, settings.listen_socket_mode) == (listen, "0600")


@pytest.mark.parametrize("path", ["", "placet.sock", "/run/pla cet", "/run/%70", "//run/p", "/run/", f"/{'a' * 100}"])
def test_a_path_that_no_socket_can_have(path: str) -> None:
    assert problem({"listen": f"unix:{path}"}).startswith(
        f"listen (--listen): 'unix:{path}' must be unix: and an absolute path of at most 100 "
    )


def test_workers_cannot_share_it() -> None:
    told = problem({"listen": SOCKET, "workers": 2})
    assert "cannot share a unix socket, as they share a port" in told
    assert "remove workers, or listen on 127.0.0.1:7070" in told
    assert load_settings({"listen": SOCKET, "workers": 1})[0].workers == 1


def test_it_requires_no_client_certificates() -> None:
    told = problem({"listen": SOCKET, **CLIENT_CA})
    assert told.startswith("mtls_listen (default): '' is needed: a unix socket cannot require the client certificates")
    more = {"auth_file": "auth.toml", "mtls_listen": "0.0.0.0:7443"}
    assert load_settings({"listen": SOCKET, **CLIENT_CA, **more})[0].listen == SOCKET


@pytest.mark.parametrize("name", ["mtls_listen", "metrics_listen"])
def test_other_listeners_have_a_port(name: str) -> None:
    assert "must be host:port" in problem({name: SOCKET, **CLIENT_CA, "auth_file": "auth.toml"})


@pytest.mark.parametrize("mode", ["0640", "0777", "600", "660", ""])
def test_other_rights_of_the_file(mode: str) -> None:
    told = problem({"listen": SOCKET, "listen_socket_mode": mode})
    assert "'0600', '0660' or '0666'; write e.g. 0660" in told


def test_a_client_sends_a_token_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that goes through a socket leaves the machine, and its listener has no certificate."""
    monkeypatch.setenv("PLACET_TLS_CA_FILE", "/none/ca.crt")
    with pytest.raises(ValueError, match="PLACET_TLS_CA_FILE: cannot read"):
        Client("127.0.0.1:7070", token=TOKEN)
    with Client(SOCKET, token=TOKEN) as client:
        assert client is not None
