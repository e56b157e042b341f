"""The server that the floor is measured with: grpc.aio on uvloop, an empty handler, no audit, no policy."""

from __future__ import annotations

import grpc
import uvloop

from placet.v1 import authorization_pb2, authorization_pb2_grpc, decision_pb2

ANSWER = authorization_pb2.AuthorizeResponse(
    decision=decision_pb2.Decision(decision_id="dec_0", effect=decision_pb2.EFFECT_ALLOW, rule_id="floor.empty")
)


class Empty(authorization_pb2_grpc.AuthorizationServiceServicer):
    """Answers every call with the same allow."""

    async def Authorize(self, _request: object, _context: object) -> authorization_pb2.AuthorizeResponse:  # noqa: N802 - the wire's name
        return ANSWER


async def main() -> None:
    """Print the address and serve until killed."""
    server = grpc.aio.server()
    authorization_pb2_grpc.add_AuthorizationServiceServicer_to_server(Empty(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main())
