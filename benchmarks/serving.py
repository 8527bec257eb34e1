"""How a bare server of the benchmarks serves: on a free port, which is the one line that it prints."""

from __future__ import annotations

import grpc


async def serve(handler: grpc.GenericRpcHandler) -> None:
    """Print where the handler is served, and serve it until killed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()
