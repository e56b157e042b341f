"""Reads a secret from standard input: others can read command lines, and shells keep them."""

from __future__ import annotations

import getpass
import sys
from typing import Final

import typer

from placet.tokens.secret import TOKEN_CHARS, is_well_formed

STDIN: Final = "-"
"""In place of an argument: read it from standard input."""
_CHARS_MAX: Final = 4_096


def read_secret() -> str:
    """Return the access token on the first line of standard input; a terminal does not show what is typed.

    BadParameter for anything else, which is not repeated.
    """
    line = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline(_CHARS_MAX)
    if not is_well_formed(token := line.strip()):
        raise typer.BadParameter(
            f"standard input has no whole access token; pass its {TOKEN_CHARS} characters alone on the first line"
        )
    return token
