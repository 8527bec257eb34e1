"""A collector of OpenTelemetry over OTLP: takes the spans of any processes, and shows a trace as text."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

NONE: Final = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """Hold one span as it was sent. ``began`` and ``ended`` in nanoseconds since 1970; ids in hexadecimal."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    began: int
    ended: int
    attributes: dict[str, str]
    status: str


@dataclass(slots=True)
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Collect spans."""

    address: str = ""
    spans: list[Collected] = field(default_factory=list)

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # named as in the contract
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes).get("service.name", "")
            for scope in resource.scope_spans:
                self.spans += [_collected(service, each) for each in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that make a process send its spans here, soon after they end."""
        return {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{self.address}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def trace(self, trace_id: str) -> list[Collected]:
        """Return the spans of a trace in the order in which they began."""
        return sorted((each for each in self.spans if each.trace_id == trace_id), key=lambda each: each.began)

    def roots(self, name: str) -> list[Collected]:
        """Return the spans of a name with which a trace begins."""
        return [each for each in self.spans if each.name == name and each.parent_id == NONE]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Yield a running collector."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


def shown(spans: list[Collected]) -> str:
    """Return a trace as text: a line a span under its parent, with its service, duration and what names its object."""
    begins = min(each.began for each in spans)
    known = {each.span_id for each in spans}
    children: dict[str, list[Collected]] = {}
    for each in spans:
        children.setdefault(each.parent_id if each.parent_id in known else NONE, []).append(each)

    def lines(parent: str, depth: int) -> Iterator[str]:
        for each in children.get(parent, []):
            took = (each.ended - each.began) / 1e6
            name = "  " * depth + each.name
            yield f"{(each.began - begins) / 1e6:9.2f} ms  {took:8.2f} ms  {each.service:14} {name}{_says(each)}"
            yield from lines(each.span_id, depth + 1)

    return "\n".join(lines(NONE, 0))


def _says(span: Collected) -> str:
    subject = span.attributes.get("messaging.destination.name") or span.attributes.get("qmtl.run_id") or ""
    failed = f" [{span.status}]" if span.status else ""
    return f" {subject}{failed}".rstrip()


def _collected(service: str, span: Any) -> Collected:
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return Collected(
        service=service,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        status=span.status.message or "error" if failed else "",
    )


def _attributes(pairs: Any) -> dict[str, str]:
    return {each.key: each.value.string_value or str(each.value.int_value) for each in pairs}
