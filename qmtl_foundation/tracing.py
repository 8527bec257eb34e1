"""Spans of OpenTelemetry, and where they belong as one text: the ``traceparent`` of W3C's Trace Context.

The text goes with the work: in metadata of calls, headers of messages, rows that are told later. A trace is begun where
somebody asks for something (``begins``); elsewhere work without a trace has no spans, so that polls and heartbeats make
none. Without an exporter (``exporters``) nothing is recorded, and what a caller stated is passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT: Final = "traceparent"  # metadata of a call, header of a message

Attributes = Mapping[str, str | int | bool]

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("qmtl")
_recorded = False


@contextmanager
def recorded(provider: TracerProvider) -> Iterator[None]:
    """Record the spans of this process by a provider; else they go to what its application has set up, if it has."""
    global _recorded, _tracer
    before = _recorded, _tracer
    _recorded, _tracer = True, provider.get_tracer("qmtl")
    try:
        yield
    finally:
        _recorded, _tracer = before


def are_recorded() -> bool:
    """Tell whether spans of this process are recorded, as those of a service are that has an exporter."""
    return _recorded


def current() -> str:
    """Return the ``traceparent`` of what goes on, empty without a trace."""
    return _text(contexts.get_current())


def is_sampled() -> bool:
    """Tell whether what goes on belongs to a trace that is recorded."""
    return _recorded and trace.get_current_span().get_span_context().trace_flags.sampled


@contextmanager
def span(
    name: str,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    *,
    begins: bool = False,
) -> Iterator[Span]:
    """Span what is done inside, within the trace of ``parent``, by default of what goes on.

    Where there is none a trace begins, or with ``begins`` False nothing is spanned. What is raised is recorded.
    """
    context = contexts.get_current() if parent is None else _of(parent)
    if not begins and not _is_traced(context):
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(name, context, kind, attributes) as begun:
        yield begun


@contextmanager
def answering(name: str, parent: str, attributes: Attributes, *, begins: bool) -> Iterator[Span]:
    """Span the answer to a call as ``span`` does; what is raised is the answer's status, not a fault by itself."""
    context = _of(parent)
    if not begins and not _is_traced(context):
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        name, context, SpanKind.SERVER, attributes, record_exception=False, set_status_on_exception=False
    ) as begun:
        yield begun


def past(
    name: str,
    began: datetime,
    ended: datetime,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    *,
    failed: str = "",
) -> None:
    """Record what is over, within the trace of ``parent``, by default of what goes on; ``failed`` says how."""
    context = contexts.get_current() if parent is None else _of(parent)
    if not _is_traced(context):
        return
    done = _tracer.start_span(name, context, kind, attributes, start_time=_nanoseconds(began))
    if failed:
        done.set_status(StatusCode.ERROR, failed)
    done.end(_nanoseconds(ended))


def _of(traceparent: str) -> Context:
    """Return the context that a text states, one without a trace for a text that states none."""
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())


def _text(context: Context) -> str:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context)
    return carrier.get(TRACEPARENT, "")


def _is_traced(context: Context) -> bool:
    return trace.get_current_span(context).get_span_context().is_valid


def _nanoseconds(moment: datetime) -> int:
    return (moment - _START) // _MICROSECOND * 1_000
