"""Placet: a policy decision point for what AI agents do."""

from typing import Final

__version__: Final = "0.1.0"
