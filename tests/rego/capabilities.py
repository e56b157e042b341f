"""What policy may call: everything that the pinned OPA offers, without what is named here.

``python -m tests.rego.capabilities > rego/capabilities.json`` writes the file anew, after a new OPA version.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from placet.policy.toolchain.binary import find_opa

if TYPE_CHECKING:
    from pathlib import Path

LEFT_OUT: Final = {
    "http.send": "reaches the network",
    "net.lookup_ip_addr": "reaches the network",
    "opa.runtime": "tells the process's environment and configuration",
    "rand.intn": "differs from call to call, so that no decision could be evaluated again",
    "time.now_ns": "differs from call to call; the time is input.now",
    "uuid.rfc4122": "differs from call to call",
    "io.jwt.decode_verify": "takes the machine's clock when it is given no time",
    "io.jwt.encode_sign": "signs with randomness, and policy has no business with private keys",
    "io.jwt.encode_sign_raw": "signs with randomness, and policy has no business with private keys",
    "crypto.parse_private_keys": "policy has no business with private keys",
    "crypto.x509.parse_keypair": "policy has no business with private keys",
    "crypto.x509.parse_rsa_private_key": "policy has no business with private keys",
    "crypto.x509.parse_and_verify_certificates": "takes the machine's clock",
    "crypto.x509.parse_and_verify_certificates_with_options": "takes the machine's clock when it is given no time",
    "providers.aws.sign_req": "signs requests that policy cannot send",
    "net.cidr_expand": "makes 16 million texts of one /8",
    "glob.match": "takes time that grows with the power of the number of *; data.placet.lib.glob_matches does not",
    "regex.globs_match": "takes time that grows with the power of the patterns' length",
    "print": "writes what policy sees, personal data too, to a log",
    "internal.print": "what print compiles to",
    "trace": "writes what policy sees to a log",
}
"""Builtin -> why it is left out."""


def offered(opa: Path) -> dict[str, Any]:
    """All that this OPA can do."""
    ended = subprocess.run([opa, "capabilities", "--current"], check=True, capture_output=True)
    capabilities: dict[str, Any] = json.loads(ended.stdout)
    return capabilities


def allowed(opa: Path) -> str:
    """The content of ``rego/capabilities.json``, one builtin a line; `allow_net` bounds JSON Schemas too."""
    capabilities = offered(opa)
    kept = [_without_words(builtin) for builtin in capabilities["builtins"] if builtin["name"] not in LEFT_OUT]
    parts = [
        '"allow_net": []',
        *(f'"{key}": {json.dumps(value)}' for key, value in capabilities.items() if key != "builtins"),
        '"builtins": [\n' + ",\n".join(json.dumps(builtin) for builtin in kept) + "\n]",
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _without_words(node: Any) -> Any:
    """Leave out what is there for people to read."""
    if isinstance(node, dict):
        return {key: _without_words(value) for key, value in node.items() if key not in {"description", "categories"}}
    return [_without_words(item) for item in node] if isinstance(node, list) else node


if __name__ == "__main__":
    sys.stdout.write(allowed(find_opa().path))
