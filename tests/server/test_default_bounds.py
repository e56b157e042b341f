"""Give-backs are bounded by default on every server that authenticates its callers, and on no other."""

from __future__ import annotations

from placet.budgets.give_backs import GiveBackBounds
from placet.server.parts.outcomes import default_give_back_bounds
from placet.server.settings.model import Settings


def test_servers_with_authentication_bound_give_backs() -> None:
    settings = Settings.model_construct(auth_file="auth.toml")
    assert default_give_back_bounds(settings) == GiveBackBounds(max_per_run=10, max_percent=100)


def test_servers_without_authentication_give_back_everything() -> None:
    assert default_give_back_bounds(Settings.model_construct(auth_file="")) is None
