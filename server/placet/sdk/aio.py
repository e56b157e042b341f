"""The clients for asyncio. They have the methods of the blocking clients, as coroutines.

::

    import asyncio

    from placet.sdk import Action, AsyncClient, Identity


    async def main() -> None:
        async with AsyncClient("127.0.0.1:7070") as placet:
            decision = await placet.authorize(
                Action("jira.search", {"query": "open tickets"}),
                Identity(agent="triage-agent", tenant="acme"),
            )
            print(decision.effect, decision.rule_id, decision.reason)


    asyncio.run(main())
"""

from placet.sdk._async.approvals import AsyncApprovalClient
from placet.sdk._async.audit import AsyncAuditClient
from placet.sdk._async.client import AsyncClient
from placet.sdk._async.controls import AsyncControlClient
from placet.sdk._async.keys import AsyncKeyClient
from placet.sdk._async.tokens import AsyncTokenClient

__all__ = [
    "AsyncApprovalClient",
    "AsyncAuditClient",
    "AsyncClient",
    "AsyncControlClient",
    "AsyncKeyClient",
    "AsyncTokenClient",
]
