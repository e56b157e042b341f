"""One person with accounts at several issuers is one person, from the JWT to the vote. A program is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from placet.v1 import approval_pb2
from tests.authentication.jwt_env import KEY, OTHER_KEY, claims, jwk, key_set, signed
from tests.authentication.token_servers import bearer
from tests.serving import serving, settings
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

RUNTIMES, USERS, STAFF, PARTNER = (f"https://{name}.example" for name in ("runtimes", "users", "staff", "partner"))
KEYS = {RUNTIMES: KEY, USERS: KEY, STAFF: KEY, PARTNER: OTHER_KEY}
VOTE = "/placet.v1.ApprovalService/ApproveAction"
DANA, KIM, LEE = ({"email": f"{name}@example.com", "email_verified": True} for name in ("Dana", "kim", "lee"))
EMAIL = """
person_claim = "email"
person_verified_claim = "email_verified"
"""
APPROVERS = """
people = true
roles_claim = "groups"
grants = [{role = "approver", tenants = "acme"}]
"""
USES = {
    RUNTIMES: 'grants = [{role = "agent_runtime", tenants = "acme", agents = "*", user = "token"}]',
    USERS: EMAIL + 'user_tenants = "acme"',
    STAFF: EMAIL + APPROVERS,
    PARTNER: EMAIL + APPROVERS,
}
POLICY = """
agent_policy:
  default_mode: read_only
  write_tools: [vault.pay]
  approvals:
    vault.pay: {quorum: 2, approver_roles: [keeper]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("issuers")
    entries = []
    for number, (issuer, key) in enumerate(KEYS.items()):
        (folder / f"keys{number}.json").write_bytes(key_set(jwk(key)))
        head = f'[[issuers]]\nissuer = "{issuer}"\naudience = "placet"\nalgorithms = "RS256"\n'
        entries.append(f'{head}jwks_file = "keys{number}.json"\n{USES[issuer]}\n')
    (folder / "auth.toml").write_text('accept = ["jwt"]\n' + "".join(entries))
    chosen = settings(folder, auth_file=str(folder / "auth.toml"))
    (chosen.rego_dir / "config" / "acme.yaml").write_text(POLICY)
    with serving(chosen) as running:
        yield running


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    made = Wire(server.address)
    yield made
    made.close()


def token(issuer: str, subject: str, key: Any = None, **more: Any) -> str:
    content = claims(iss=issuer, aud="placet", sub=subject, **{"groups": ["keeper"], **more})
    return signed(content, key or KEYS[issuer])


@pytest.fixture
def approval(wire: Wire, request: pytest.FixtureRequest) -> str:
    """The id of an approval of an action on behalf of Dana, as the issuer of users knows her."""
    return requested(wire, request.node.name, token(USERS, "1", **DANA))


def requested(wire: Wire, key: str, user_token: str) -> str:
    changes = {"action.tool": "vault.pay", "action.params_json": f'{{"for":"{key}"}}', "idempotency_key": key}
    asked = request({**changes, "identity.user": "", "identity.user_token": user_token})
    found: str = wire.authorize(asked, *bearer(token(RUNTIMES, "runtime-1"))).approval.id
    assert found
    return found


def vote(wire: Wire, approval_id: str, credential: str) -> str:
    """Vote, and return the reason why the vote is refused; "" if it counts."""
    asked = ParseDict({"tenant": "acme", "approval_id": approval_id}, approval_pb2.ApproveActionRequest())
    try:
        wire.raw(VOTE, asked.SerializeToString(), bearer(credential))
    except Refusal as refusal:
        return refusal.reason
    return ""


@pytest.mark.parametrize("issuer", [STAFF, PARTNER])
@pytest.mark.parametrize("email", ["dana@example.com", "DANA@EXAMPLE.COM", "\uff44ana@example.com"])
def test_the_user_does_not_approve_by_an_account_elsewhere(wire: Wire, approval: str, issuer: str, email: str) -> None:
    own = token(issuer, "another-subject", email=email, email_verified=True)
    assert vote(wire, approval, own) == "REQUESTER_MAY_NOT_APPROVE"


def test_two_accounts_are_one_vote(wire: Wire, approval: str) -> None:
    assert vote(wire, approval, token(STAFF, "2", **KIM)) == ""
    assert vote(wire, approval, token(PARTNER, "7", **{**KIM, "email": "KIM@example.com"})) == "VOTED_ALREADY"
    assert vote(wire, approval, token(PARTNER, "8", **LEE)) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": None},
        {"email": ""},
        {"email": "https://staff.example|2"},
    ],
)
def test_an_account_without_a_verified_address_is_nobody(wire: Wire, approval: str, changes: dict[str, Any]) -> None:
    assert vote(wire, approval, token(STAFF, "2", **{**KIM, **changes})) == "CREDENTIAL_INVALID"


@pytest.mark.parametrize(
    "content",
    [
        {"email": "robot@project.iam.gserviceaccount.com"},
        {"preferred_username": "service-account-robot"},
        {"client_id": "2"},
        {"gty": "client-credentials"},
        {"idtyp": "app"},
        {"act": {"sub": "robot"}},
    ],
)
def test_a_program_with_a_verified_address_does_not_vote(wire: Wire, approval: str, content: dict[str, Any]) -> None:
    assert vote(wire, approval, token(STAFF, "2", **{**KIM, **content})) == "PERSON_REQUIRED"


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (lambda: token(USERS, "2", **KIM), "CREDENTIAL_INVALID"),
        (lambda: token(RUNTIMES, "runtime-1", **KIM), "ROLE_NOT_GRANTED"),
        (lambda: token(PARTNER, "2", KEYS[STAFF], **KIM), "CREDENTIAL_INVALID"),
        (lambda: token(STAFF, "2", KEYS[PARTNER], **KIM), "CREDENTIAL_INVALID"),
    ],
    ids=["a user's token", "a runtime's token", "the key of another issuer", "the key of a partner"],
)
def test_no_other_token_votes(wire: Wire, approval: str, credential: Any, reason: str) -> None:
    assert vote(wire, approval, credential()) == reason


def test_a_credential_of_an_approver_is_no_user_token(wire: Wire) -> None:
    with pytest.raises(Refusal) as refusal:
        requested(wire, "approver as user", token(STAFF, "2", **KIM))
    assert refusal.value.code is grpc.StatusCode.UNAUTHENTICATED
