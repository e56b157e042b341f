"""The one place that picks real things and puts them together."""

from placet.server.build import Running, running
from placet.server.ledger import accept_clock, restart_trail
from placet.server.lifecycle import run, serve
from placet.server.system import RandomIds, SystemClock

__all__ = ["RandomIds", "Running", "SystemClock", "accept_clock", "restart_trail", "run", "running", "serve"]
