"""Spans of OpenTelemetry, and where they belong as one text: the ``traceparent`` of W3C's Trace Context.

The text goes with the work: in metadata of calls, headers of messages, rows that are told later. A trace is begun where
somebody asks for something (``begins``); elsewhere work without a trace has no spans, so that polls and heartbeats make
none. Without an exporter (``exporters``) nothing is recorded, and what a caller stated is passed on. Whoever takes the
spans cannot disturb the work: what is raised there is logged. Spans say what kind of fault it was, never its text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from qmtl_foundation.errors import QmtlError

TRACEPARENT: Final = "traceparent"  # metadata of a call, header of a message
MAX_TRACEPARENT: Final = 128  # characters; version 00 has 55

Attributes = Mapping[str, str | int | bool]
Result = TypeVar("Result")

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_log = logging.getLogger(__name__)
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
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def is_sampled() -> bool:
    """Tell whether what goes on belongs to a trace that is recorded."""
    return _recorded and trace.get_current_span().get_span_context().trace_flags.sampled


class Work:
    """Be work that a span tells of, begun at once: what is done ``within`` belongs to it, until it ends."""

    def __init__(self, span: Span, context: Context) -> None:
        self._span = span
        self._context = context

    @contextmanager
    def within(self) -> Iterator[None]:
        """Let what is done inside belong to it. Enter and leave it in one step of a generator."""
        token = contexts.attach(self._context)
        try:
            yield
        finally:
            contexts.detach(token)

    def say(self, name: str, value: str) -> None:
        """Note something of it."""
        self._span.set_attribute(name, value)

    def end(self, fault: str = "") -> None:
        """End it, well or with a kind of fault."""
        if fault:
            self._span.set_status(StatusCode.ERROR, fault)
        _undisturbed(self._span.end)


def begin(
    name: str,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    *,
    begins: bool = False,
) -> Work:
    """Begin work within the trace of ``parent``, by default of what goes on.

    Where there is none a trace begins, or with ``begins`` False there is no span.
    """
    context = contexts.get_current() if parent is None else _of(parent)
    if not begins and not _is_traced(context):
        return Work(trace.INVALID_SPAN, context)
    span = _undisturbed(lambda: _tracer.start_span(name, context, kind, attributes)) or trace.INVALID_SPAN
    return Work(span, trace.set_span_in_context(span, context))


@contextmanager
def span(
    name: str,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    *,
    begins: bool = False,
) -> Iterator[None]:
    """Span what is done inside, as ``begin``; what is raised ends it with its kind, and goes on."""
    work = begin(name, parent, kind, attributes, begins=begins)
    fault = ""
    try:
        with work.within():
            yield
    except Exception as error:
        fault = kind_of(error)
        raise
    finally:
        work.end(fault)


def past(
    name: str,
    began: datetime,
    ended: datetime,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    *,
    fault: str = "",
) -> None:
    """Record what is over, within the trace of ``parent``, by default of what goes on; ``fault`` is its kind."""
    context = contexts.get_current() if parent is None else _of(parent)
    if not _is_traced(context):
        return

    def record() -> None:
        done = _tracer.start_span(name, context, kind, attributes, start_time=_nanoseconds(began))
        if fault:
            done.set_status(StatusCode.ERROR, fault)
        done.end(_nanoseconds(ended))

    _undisturbed(record)


def kind_of(error: BaseException) -> str:
    """Return what kind of fault it is: the reason of one of ours, else its class. Texts may hold values."""
    return error.reason.value if isinstance(error, QmtlError) else type(error).__name__


def _undisturbed(act: Callable[[], Result]) -> Result | None:
    try:
        return act()
    except Exception:  # whoever takes the spans is no part of the work
        _log.warning("a span is not taken", exc_info=True)
        return None


def _of(traceparent: str) -> Context:
    """Return the context that a text states, one without a trace for a text that states none."""
    if len(traceparent) > MAX_TRACEPARENT:
        return Context()
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())


def _is_traced(context: Context) -> bool:
    return trace.get_current_span(context).get_span_context().is_valid


def _nanoseconds(moment: datetime) -> int:
    return (moment - _START) // _MICROSECOND * 1_000
