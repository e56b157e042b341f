"""The result of one check of `placet doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A checked thing, and whether it is fit for use."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    missing: bool = False
    """The thing does not exist yet: the first start of the server creates it."""


def passed(name: str, detail: str, *, missing: bool = False) -> Check:
    """Return a check that passed."""
    return Check(name, ok=True, detail=detail, missing=missing)


def failed(name: str, detail: str, remedy: str = "") -> Check:
    """Return a check that failed."""
    return Check(name, ok=False, detail=detail, remedy=remedy)


def not_checked(name: str, failing: str) -> Check:
    """Return a failed check for something that cannot be checked while another check fails."""
    return failed(name, f"not checked, because this fails: {failing}")
