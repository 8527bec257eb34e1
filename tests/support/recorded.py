"""Spans of this process, recorded while a test looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from qmtl_foundation import tracing


class Spans:
    """Hold what was recorded."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        """Return the names in the order in which the spans ended."""
        return [each.name for each in self.all]

    def one(self, name: str) -> ReadableSpan:
        (found,) = [each for each in self.all if each.name == name]
        return found


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent, None of one with which a trace begins."""
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    context: Any = span.context
    return int(context.span_id)


@contextmanager
def recording_spans() -> Iterator[Spans]:
    """Yield the spans of this process that end meanwhile."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.recorded(provider):
        yield Spans(exporter)
