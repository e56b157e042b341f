"""The scenario files below this folder. A file holds one or more YAML documents, each a script.

`placet.cli.scenarios.script` describes the form. A script with `agent_policy` has a tenant of its own, whose file is
`AGENT_POLICY` with the script's keys on top: `look` reads, `pay` and `mail` write and need no approval.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from placet.cli.scenarios.script import load_scripts

if TYPE_CHECKING:
    from placet.cli.scenarios.script import Script

FOLDER: Final = Path(__file__).parent
AGENT_POLICY: Final[dict[str, Any]] = {
    "default_mode": "read_only",
    "allowed_tools": ["look"],
    "write_tools": ["pay", "mail"],
    "approvals": {"pay": "not_required", "mail": "not_required"},
}


def load_all() -> dict[str, Script]:
    """Path below this folder without suffix, and description -> script."""
    return {
        f"{path.relative_to(FOLDER).with_suffix('')}: {script.description}": script
        for path in sorted(FOLDER.rglob("*.yaml"))
        for script in load_scripts(path)
    }


def write_tenants(rego_dir: Path) -> None:
    """Write the files of the scripts' own tenants into a policy folder."""
    for script in load_all().values():
        if script.agent_policy is not None:
            document = {"agent_policy": {**AGENT_POLICY, **script.agent_policy}}
            (rego_dir / "config" / f"{script.identity.tenant}.yaml").write_text(yaml.safe_dump(document))
