"""The client for asyncio."""

from placet.sdk._async.client import AsyncClient

__all__ = ["AsyncClient"]
