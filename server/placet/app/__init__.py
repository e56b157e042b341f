"""The one place that picks real things and puts them together."""

from placet.app.assembly import Running, running
from placet.app.lifetime import run, serve
from placet.app.recording import accept_clock, restart_trail
from placet.app.system import RandomIds, SystemClock

__all__ = ["RandomIds", "Running", "SystemClock", "accept_clock", "restart_trail", "run", "running", "serve"]
