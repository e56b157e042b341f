"""Look up known vulnerabilities of the locked packages: `audit.py [OPTION OF PIP-AUDIT]...`.

Asks OSV over the network, with names and versions only. Nothing is installed. Exit code 0: no vulnerability is known;
1: some are, and they are listed; 3: OSV could not be asked, so nothing is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
LOCK: Final = ROOT / "requirements.lock"
CLEAN, VULNERABLE, NOT_ASKED = 0, 1, 3
SECONDS: Final = "20"


def main(options: list[str]) -> int:
    """Ask, and print what is known. Return the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        done = subprocess.run(command(report, options), capture_output=True, text=True, check=False)
        text = report.read_text() if report.exists() else ""
    if not text or done.returncode not in {CLEAN, VULNERABLE}:
        last = done.stderr.strip().splitlines()[-1:] or ["it wrote no report"]
        remedy = "Remedy: run it where the network reaches OSV, or name another server with --osv-url"
        print(f"audit: no package was looked up: {last[0]}. {remedy}", file=sys.stderr)
        return NOT_ASKED
    packages: list[dict[str, Any]] = json.loads(text)["dependencies"]
    found = [(package, vulnerability) for package in packages for vulnerability in package.get("vulns", [])]
    for package, vulnerability in found:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
        print(f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}")
    print(f"audit: {len(packages)} packages, {len(found)} known vulnerabilities")
    return VULNERABLE if found else CLEAN


def command(report: Path, options: list[str]) -> list[str]:
    """Return the command of pip-audit. It takes the lock file as it is, and resolves and downloads nothing."""
    locked = ["--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    service = ["--vulnerability-service", "osv", "--timeout", SECONDS, "--progress-spinner", "off"]
    output = ["--format", "json", "--output", str(report)]
    return [sys.executable, "-m", "pip_audit", *locked, *service, *output, *options]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
