"""Settings: precedence, sources, and a clear line for each thing that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import CHECKPOINT_INTERVAL_SECONDS, OPA_TIMEOUT_MS, QUEUE_DEPTH_MAX
from placet.matching.addresses import is_loopback, split_address
from placet.server.settings.model import Settings, shipped_dir
from placet.server.settings.sources import FOUND_FILE_SETTINGS, RENAMED, load_settings


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("PLACET_"):
            monkeypatch.delenv(name)
    return tmp_path


def problems(flags: dict[str, object] | None = None, config_file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(flags or {}, config_file)
    return str(caught.value).splitlines()


def test_defaults() -> None:
    settings, sources = load_settings({})
    assert settings.listen == "127.0.0.1:7070"
    assert settings.database.name == ".placet/placet.db"
    assert settings.keys_dir == Path(".placet/keys")
    assert settings.bundles_dir == Path(".placet/bundles")
    assert settings.opa_timeout_ms == OPA_TIMEOUT_MS
    assert settings.queue_depth_max == QUEUE_DEPTH_MAX
    assert settings.checkpoint_interval_seconds == CHECKPOINT_INTERVAL_SECONDS
    assert not settings.unsafe_no_auth
    assert set(sources.values()) == {"default"}
    assert set(sources) == set(Settings.model_fields)


def test_flag_beats_environment_beats_file_beats_default(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_directory / "placet.toml").write_text(
        'replica_id = "file"\nlog_level = "error"\nqueue_depth_max = 7\nreflection = false\n'
    )
    monkeypatch.setenv("PLACET_REPLICA_ID", "env")
    monkeypatch.setenv("PLACET_LOG_LEVEL", "debug")
    settings, sources = load_settings({"replica_id": "flag", "log_format": None})
    assert (settings.replica_id, sources["replica_id"]) == ("flag", "--replica-id")
    assert (settings.log_level, sources["log_level"]) == ("debug", "PLACET_LOG_LEVEL")
    assert (settings.queue_depth_max, sources["queue_depth_max"]) == (7, "placet.toml")
    assert (settings.reflection, sources["reflection"]) == (False, "placet.toml")
    assert (settings.log_format, sources["log_format"]) == ("json", "default")


def test_construction_reads_neither_environment_nor_file(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_directory / "placet.toml").write_text('replica_id = "file"\n')
    monkeypatch.setenv("PLACET_LOG_LEVEL", "debug")
    settings = Settings(listen="127.0.0.1:0")
    assert (settings.listen, settings.replica_id, settings.log_level) == ("127.0.0.1:0", "placet", "info")


def test_named_file(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('replica_id = "file"\n')
    settings, sources = load_settings({}, path)
    assert (settings.replica_id, sources["replica_id"]) == ("file", str(path))


def test_no_example_stands_in_for_a_policy_folder(empty_directory: Path) -> None:
    settings = Settings()
    assert settings.rego_dir == Path("rego")
    with pytest.raises(ConfigurationError, match="rego: no such policy folder; name yours with --rego-dir") as raised:
        settings.require_rego_dir()
    example = str(raised.value).partition("the example in ")[2].partition(",")[0]
    assert (Path(example) / "config").is_dir()
    (empty_directory / "rego").mkdir()
    settings.require_rego_dir()


def test_a_shipped_folder(tmp_path: Path) -> None:
    package = tmp_path / "server" / "placet"
    assert shipped_dir("_rego", "rego", package) == package / "_rego"
    (tmp_path / "rego").mkdir()
    assert shipped_dir("_rego", "rego", package) == tmp_path / "rego"
    assert shipped_dir("_rego", "rego", tmp_path / "site-packages" / "placet").name == "_rego"  # no checkout
    (package / "_rego").mkdir(parents=True)
    assert shipped_dir("_rego", "rego", package) == package / "_rego"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("unsafe_no_auth", True, "true"),
        ("webhook_allow_private_networks", True, "true"),
        ("opa_path", "/srv/opa", '"/srv/opa"'),
        ("policy_url", "file:///srv/bundle.tar.gz", '"file:///srv/bundle.tar.gz"'),
        ("opa_address", "http://127.0.0.1:8181", '"http://127.0.0.1:8181"'),
        ("rego_dir", Path("elsewhere"), '"elsewhere"'),
        ("data_dir", Path("elsewhere"), '"elsewhere"'),
        ("confirm_policy_removals", False, "false"),
        ("outcome_excess_factor", 1_000, "1000"),
        ("max_policy_age_seconds", 0, "0"),
    ],
)
def test_what_weakens_the_server_is_not_taken_from_a_file_that_was_only_found(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, text: str
) -> None:
    assert name not in FOUND_FILE_SETTINGS
    found = empty_directory / "placet.toml"
    found.write_text(f"{name} = {text}\n")
    with pytest.raises(ConfigurationError) as raised:
        load_settings({})
    assert str(raised.value) == (
        f"placet.toml: {name}: cannot be set by a file that was only found in the working directory; name the file "
        f"with --config placet.toml, or use --{name.replace('_', '-')} or PLACET_{name.upper()}"
    )
    assert getattr(load_settings({}, found)[0], name) == value
    found.unlink()
    monkeypatch.setenv(f"PLACET_{name.upper()}", str(value).lower() if isinstance(value, bool) else str(value))
    assert getattr(load_settings({})[0], name) == value


@pytest.mark.parametrize(("name", "example"), [("listen", "127.0.0.1:7070"), ("metrics_listen", "127.0.0.1:9090")])
def test_a_wrong_address_to_listen_on_is_told_with_an_example(name: str, example: str) -> None:
    [line] = problems({name: "nowhere"})
    assert line.endswith(f"must be host:port with a port of 0 to 65535; write e.g. {example}")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"listen": "0.0.0.0:7070"}, "listen (--listen): '0.0.0.0:7070' is reachable from other machines"),
        ({"listen": "example.org:7070"}, "listen (--listen): 'example.org:7070' is reachable from other machines"),
        ({"metrics_listen": "[::]:9"}, "metrics_listen (--metrics-listen): '[::]:9' is reachable"),
        ({"listen": ""}, "listen (--listen): '' must be host:port"),
        (
            {"listen": "nowhere"},
            "listen (--listen): 'nowhere' must be host:port with a port of 0 to 65535; write e.g. 127.0.0.1:7070",
        ),
        ({"listen": "127.0.0.1"}, "listen (--listen): '127.0.0.1' must be host:port"),
        ({"listen": "127.0.0.1:65536"}, "listen (--listen): '127.0.0.1:65536' must be host:port"),
        ({"listen": "::1:7070"}, "listen (--listen): '::1:7070' must be host:port; write an IPv6 address in brackets"),
        ({"listen": "[127.0.0.1]:1"}, "listen (--listen): '[127.0.0.1]:1'"),
        ({"replica_id": "a b"}, "replica_id (--replica-id): 'a b' must be 1 to 64 characters"),
        ({"replica_id": "r" * 65}, "replica_id (--replica-id):"),
        ({"opa_address": "opa:8181"}, "opa_address (--opa-address): 'opa:8181' must be http://host:port"),
        ({"opa_address": "https://opa:8181"}, "opa_address (--opa-address):"),
        ({"opa_address": "http://u:p@opa:8181"}, "opa_address (--opa-address):"),
        ({"opa_address": "http://opa"}, "opa_address (--opa-address): 'http://opa' must be host:port"),
        ({"opa_address": "unix://x/y"}, "opa_address (--opa-address):"),
        ({"opa_address": "http://opa:8181/v1"}, "opa_address (--opa-address):"),
        ({"opa_address": "unix:///s", "opa_path": "/opa"}, "opa_path (--opa-path): '/opa' is for a managed OPA"),
        ({"policy_url": "policy"}, "policy_url (--policy-url): 'policy' must be https://host/path"),
        (
            {"policy_url": "http://10.0.0.1/b.tar.gz"},
            "policy_url (--policy-url): 'http://10.0.0.1/b.tar.gz' must be https",
        ),
        ({"policy_url": "https://u:p@x/b"}, "policy_url (--policy-url): 'https://u:p@x/b' must have no user"),
        ({"policy_url": "https://x/b"}, "policy_url (--policy-url): 'https://x/b' needs policy_verification_key"),
        ({"policy_url": "file://x/b"}, "policy_url (--policy-url): 'file://x/b' must be https://host/path"),
        (
            {"policy_url": "file:///b", "policy_token_file": "t"},
            "policy_url (--policy-url): 'file:///b' is a file, which takes no policy_token_file",
        ),
        (
            {"policy_url": "https://x/b", "policy_verification_key": "k", "policy_registry_user": "u"},
            "policy_url (--policy-url): 'https://x/b' must be oci:// and needs policy_token_file",
        ),
        ({"policy_verification_key": "k"}, "policy_url (default): '' is empty, but policy_verification_key is set"),
        (
            {"policy_url": "file:///b", "opa_address": "unix:///s", "opa_required_revision": "r"},
            "opa_required_revision (--opa-required-revision): 'r' is not needed: OPA must serve the bundle",
        ),
        (
            {"policy_url": "http://127.0.0.1/b", "policy_verification_key": "k", "policy_url_ca_file": "ca.pem"},
            "policy_url (--policy-url): 'http://127.0.0.1/b' is not encrypted, so policy_url_ca_file is not used",
        ),
        ({"opa_required_revision": "r"}, "opa_required_revision (--opa-required-revision): 'r' is for an external OPA"),
        (
            {"opa_timeout_ms": 0},
            "opa_timeout_ms (--opa-timeout-ms): '0' should be greater than or equal to 1; write e.",
        ),
        ({"opa_timeout_ms": 60_001}, "opa_timeout_ms (--opa-timeout-ms): '60001' should be less than"),
        ({"max_policy_age_seconds": -1}, "max_policy_age_seconds (--max-policy-age-seconds): '-1' should be"),
        ({"queue_depth_max": True}, "queue_depth_max (--queue-depth-max): 'True' must be a whole number"),
        (
            {"checkpoint_interval_seconds": "soon"},
            "checkpoint_interval_seconds (--checkpoint-interval-seconds): 'soon'",
        ),
        ({"log_level": "loud"}, "log_level (--log-level): 'loud' should be 'debug', 'info', 'warning' or 'error'"),
        ({"log_format": "xml"}, "log_format (--log-format): 'xml' should be 'json' or 'text'"),
        ({"reflection": "maybe"}, "reflection (--reflection): 'maybe' should be a valid boolean"),
    ],
)
def test_wrong_values_name_field_source_and_remedy(flags: dict[str, object], line: str) -> None:
    found = problems(flags)
    assert len(found) == 1
    assert found[0].startswith(line)


def test_a_wrong_opa_address_is_not_reported_twice() -> None:
    assert len(problems({"opa_address": "x", "opa_required_revision": "r"})) == 1


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.9.1:7070", "localhost:1", "[::1]:7070"])
def test_loopback_needs_no_consent(listen: str) -> None:
    assert load_settings({"listen": listen})[0].listen == listen


def test_beyond_loopback_with_consent() -> None:
    settings, _ = load_settings({"listen": "0.0.0.0:7070", "metrics_listen": "[::]:9090", "unsafe_no_auth": True})
    assert settings.listen == "0.0.0.0:7070"


def test_external_opa() -> None:
    settings, _ = load_settings({"opa_address": "unix:///run/opa.sock", "opa_required_revision": "abc"})
    assert settings.opa_required_revision == "abc"
    assert load_settings({"opa_address": "http://[::1]:8181"})[0].opa_address == "http://[::1]:8181"


def test_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_LISEN", "127.0.0.1:1")
    monkeypatch.setenv("placet_listen", "127.0.0.1:1")
    monkeypatch.setenv("PLACET_QQQ", "1")
    assert problems() == [
        "PLACET_LISEN: no setting has this name; did you mean PLACET_LISTEN? else unset it",
        "PLACET_QQQ: no setting has this name; unset it",
        "placet_listen: no setting has this name; did you mean PLACET_LISTEN? else unset it",
    ]


def test_the_clients_variable_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_ADDRESS", "127.0.0.1:1")
    assert load_settings({})[0].listen == "127.0.0.1:7070"


def test_wrong_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_QUEUE_DEPTH_MAX", "many")
    assert problems()[0].startswith("queue_depth_max (PLACET_QUEUE_DEPTH_MAX): 'many' must be a whole number")


def test_unknown_keys_of_the_file_are_refused(empty_directory: Path) -> None:
    (empty_directory / "placet.toml").write_text("queue_dept = 3\n[server]\nlisten = 1\n")
    assert problems() == [
        "placet.toml: queue_dept: no setting has this name; did you mean queue_depth_max? else remove it",
        "placet.toml: server: no setting has this name; remove it",
    ]


def test_every_problem_is_reported(empty_directory: Path) -> None:
    (empty_directory / "placet.toml").write_text('listen = 5\nreplica = ""\nlog_level = "x"\n')
    found = problems()
    assert [line.split(" ")[0] for line in found] == ["listen", "replica_id", "log_level"]
    assert all("(placet.toml)" in line for line in found)


@pytest.mark.parametrize("content", [b"listen = = 1", b"\xff\xfe", b"listen"])
def test_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    found = problems({}, path)
    assert len(found) == 1
    assert found[0].startswith(f"{path}: is not TOML:")


def test_named_file_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert problems({}, path) == [f"{path}: no such file; name an existing file with --config, or leave the flag out"]


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert problems({}, tmp_path)[0].startswith(f"{tmp_path}: cannot be read:")


def test_describe_gives_every_setting_once() -> None:
    settings, sources = load_settings({"reflection": False})
    rows = settings.describe(sources)
    assert [name for name, _, _ in rows] == list(Settings.model_fields)
    assert ("reflection", "false", "--reflection") in rows
    assert ("listen", "127.0.0.1:7070", "default") in rows


def test_secrets_are_masked_when_shown_and_when_wrong() -> None:
    secret = "whsec_" + "QUJD" * 8
    settings, sources = load_settings({"webhook_secret": secret})
    assert "QUJD" not in str(settings.describe(sources))
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"webhook_secret": "whsec_hunter2"})
    assert str(caught.value).startswith("webhook_secret (--webhook-secret): ")
    assert "hunter2" not in str(caught.value)


OLD_NAMES = {"replica": "b", "webhook_allow_private": "true", "opa_expected_revision": "r1"}


@pytest.mark.parametrize("old", OLD_NAMES)
@pytest.mark.parametrize("source", ["flag", "variable", "file"])
def test_a_renamed_setting_is_read_by_its_old_name_with_a_message(
    old: str, source: str, empty_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value, config = OLD_NAMES[old], empty_directory / "own.toml"
    opa = 'opa_address = "unix:///s"\n' if old.startswith("opa") else ""
    if source == "variable":
        monkeypatch.setenv(f"PLACET_{old.upper()}", value)
    config.write_text(opa + (f'{old} = "{value}"\n' if source == "file" else ""))
    settings, sources = load_settings({old: value} if source == "flag" else {}, config)
    name = RENAMED[old]
    assert str(getattr(settings, name)).lower() == value
    label = {"flag": f"--{old.replace('_', '-')}", "variable": f"PLACET_{old.upper()}", "file": str(config)}[source]
    assert sources[name] == label
    message = f"placet: {label}: {old} is now {name}; the old name will go in a later version\n"
    assert capsys.readouterr().err == message


def test_the_two_listeners_need_two_addresses() -> None:
    address = "127.0.0.1:7093"
    [problem] = problems({"listen": address, "metrics_listen": address})
    assert problem.startswith(f"metrics_listen (--metrics-listen): '{address}' is the address of the gRPC server")
    assert load_settings({"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"})[0].metrics_listen == "127.0.0.1:0"


def test_the_old_and_the_new_name_of_a_setting_exclude_each_other() -> None:
    assert problems({"replica": "a", "replica_id": "b"}) == [
        "--replica: deprecated name of replica_id, which is also set; remove it"
    ]


def test_every_setting_is_described_with_an_example_that_is_accepted() -> None:
    secret = Settings.model_fields["webhook_secret"].examples
    certificate = {"tls_cert_file": "a.crt", "tls_key_file": "a.key"}
    client_ca = {**certificate, "tls_client_ca_file": "ca.crt"}
    together = {
        "tls_cert_file": certificate,
        "tls_key_file": certificate,
        "tls_client_ca_file": client_ca,
        "mtls_listen": {**client_ca, "auth_file": "auth.toml"},
        "opa_required_revision": {"opa_address": "unix:///s"},
        "policy_token_file": {"policy_url": "https://x/b", "policy_verification_key": "k"},
        "policy_url_ca_file": {"policy_url": "https://x/b", "policy_verification_key": "k"},
        "policy_registry_user": {"policy_url": "oci://x/b", "policy_verification_key": "k", "policy_token_file": "t"},
        "policy_url": {"policy_verification_key": "k"},
        "policy_verification_key": {"policy_url": "https://x/b"},
        "webhook_url": {"webhook_secret": (secret or [""])[0]},
    }
    for name, field in Settings.model_fields.items():
        assert field.description
        assert field.examples
        load_settings({**together.get(name, {}), name: field.examples[0]})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().listen = "x"  # type: ignore[misc] # that it is refused is the test


def test_addresses() -> None:
    assert split_address("[::1]:80") == ("::1", 80)
    assert split_address("host:0") == ("host", 0)
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.1")


WEBHOOK_SECRET = "whsec_cGxlYXNlIG1ha2Ugb25lIG9mIHlvdXIgb3du"  # noqa: S105 - an example
WEBHOOK_URL = "https://hooks.example.com/placet"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"webhook_url": WEBHOOK_URL}, f"webhook_url (--webhook-url): '{WEBHOOK_URL}' needs webhook_secret as well"),
        ({"webhook_url": "hooks.example.com"}, "webhook_url (--webhook-url): 'hooks.example.com' must be https://"),
        ({"webhook_url": "http://10.0.0.1/"}, "webhook_url (--webhook-url): 'http://10.0.0.1/' must be https://"),
        ({"webhook_url": "https://u:p@a.example"}, "webhook_url (--webhook-url): 'https://u:p@a.example' must name no"),
        ({"webhook_secret": "hunter2"}, "webhook_secret (--webhook-secret): must be whsec_ and base64 of 24 to 64"),
        ({"webhook_secret": " "}, "webhook_secret (--webhook-secret): must be 1 to 4 secrets"),
        (
            {"webhook_url": WEBHOOK_URL, "webhook_secret": "hunter2"},
            "webhook_secret (--webhook-secret): must be whsec_",
        ),
        ({"webhook_timeout_ms": 99}, "webhook_timeout_ms (--webhook-timeout-ms): '99' should be greater"),
    ],
)
def test_wrong_settings_of_webhooks(flags: dict[str, object], line: str) -> None:
    found = problems(flags)
    assert len(found) == 1
    assert found[0].startswith(line)
    assert "hunter2" not in found[0]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("approvals.example.com/{approval_id}", "must be an http or https URL such as https://host/path/{approval_id}"),
        ("https://approvals.example.com/", "must contain {approval_id}, as in https://host/path/{approval_id}"),
        ("https://a.example/{approval_id}/{user}", "can contain {approval_id} and {tenant} and no other braces"),
    ],
)
def test_wrong_approval_urls(url: str, why: str) -> None:
    assert problems({"approval_url": url}) == [f"approval_url (--approval-url): '{url}' {why}"]


def test_settings_of_webhooks() -> None:
    secrets = f"{WEBHOOK_SECRET} {WEBHOOK_SECRET}"
    settings, sources = load_settings({"webhook_url": WEBHOOK_URL, "webhook_secret": secrets})
    assert settings.webhook_secret.get_secret_value() == secrets
    assert WEBHOOK_SECRET not in str(settings.describe(sources))
    private = {"webhook_url": "http://10.0.0.1/", "webhook_secret": secrets, "webhook_allow_private_networks": True}
    assert load_settings(private)[0].webhook_url == "http://10.0.0.1/"
