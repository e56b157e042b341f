"""The command `placet`, also as `python -m placet`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; when a package is missing, say how to repair the installation and return 2."""
    try:
        from placet.cli.main import main as command  # noqa: PLC0415 - what is imported may be missing
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] == "placet":
            raise
        sys.stderr.write(f"placet: {missing} is not installed; repair it with: pip install --force-reinstall placet\n")
        return 2
    return command()


if __name__ == "__main__":
    sys.exit(main())
