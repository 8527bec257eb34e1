"""A collector of spans that drops them: what tracing costs a service, not what becomes of its spans."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Take spans."""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # named as in the contract
        """Take them and forget them."""
        return trace_service_pb2.ExportTraceServiceResponse()


def main() -> None:
    """Serve until killed; the port is the one line of output."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), server)  # type: ignore[no-untyped-call]  # it has no types
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
