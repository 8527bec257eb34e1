"""Spans belong to the trace that is stated, none begins by itself; without an exporter what was stated passes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason
from tests.support.recorded import id_of, parent_of, recording_spans

STATED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the example of W3C's Trace Context
UNSAMPLED = STATED[:-2] + "00"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_span_belongs_to_the_trace_that_is_stated() -> None:
    with recording_spans() as spans, tracing.span("work", STATED):
        within = tracing.current()
    (span,) = spans.all
    assert parent_of(span) == 0xB7AD6B7169203331
    assert within == f"00-0af7651916cd43dd8448eb211c80319c-{id_of(span):016x}-01"


def test_spans_within_a_span_belong_to_it() -> None:
    with recording_spans() as spans, tracing.span("outer", begins=True), tracing.span("inner"):
        pass
    assert parent_of(spans.one("inner")) == id_of(spans.one("outer"))


@pytest.mark.parametrize("parent", [None, "", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", STATED + "-" * 99])
def test_no_trace_begins_by_itself(parent: str | None) -> None:
    with recording_spans() as spans, tracing.span("poll", parent):
        assert tracing.current() == ""
    assert spans.names == []


def test_a_trace_of_its_own_begins_within_another() -> None:
    with recording_spans() as spans, tracing.span("outer", begins=True), tracing.span("order", "", begins=True):
        pass
    assert parent_of(spans.one("order")) is None


def test_what_is_raised_goes_on_and_is_told_by_its_kind_alone() -> None:
    with recording_spans() as spans:
        with pytest.raises(KeyError), tracing.span("work", STATED):
            raise KeyError("secret")
        with pytest.raises(QmtlError), tracing.span("call", STATED):
            raise QmtlError(Reason.WORLD_NOT_FOUND, "secret")
    told = {each.name: each.status.description for each in spans.all}
    assert told == {"work": "KeyError", "call": "WORLD_NOT_FOUND"}
    assert "secret" not in repr([each.to_json() for each in spans.all])


def test_work_of_no_trace_is_not_of_the_one_that_goes_on() -> None:
    with recording_spans() as spans, tracing.span("outer", begins=True):
        with tracing.span("row", ""):
            assert tracing.current() == ""
        assert tracing.current() != ""
    assert spans.names == ["outer"]


class Breaking(SpanProcessor):
    """Raise at each span, as an application's own processor may."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("broken")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize("call", ["on_start", "on_end"])
def test_whoever_takes_the_spans_cannot_disturb_the_work(call: str, caplog: pytest.LogCaptureFixture) -> None:
    provider, processor = TracerProvider(), Breaking()
    setattr(processor, "on_end" if call == "on_start" else "on_start", lambda *_, **__: None)
    provider.add_span_processor(processor)
    done = []
    with tracing.recorded(provider):
        with tracing.span("work", STATED):
            done.append("work")
        tracing.past("phase", NOON, NOON, STATED)
    assert done == ["work"]
    assert "a span is not taken" in caplog.text


def test_what_is_over_is_recorded_with_its_own_times() -> None:
    with recording_spans() as spans:
        tracing.past("phase", NOON, NOON + timedelta(milliseconds=1.5), STATED, fault="late")
        tracing.past("phase of no trace", NOON, NOON, "")
    (span,) = spans.all
    assert (span.start_time, span.end_time) == (1_772_366_400_000_000_000, 1_772_366_400_001_500_000)
    assert span.status.description == "late"


def test_a_trace_that_is_not_sampled_goes_on_and_is_not_recorded() -> None:
    with recording_spans() as spans, tracing.span("work", UNSAMPLED):
        assert tracing.current()[:36] == UNSAMPLED[:36]
        assert tracing.current().endswith("-00")
        assert not tracing.is_sampled()
    assert spans.names == []


def test_without_an_exporter_what_was_stated_passes_on() -> None:
    with tracing.span("work", STATED):
        assert tracing.current() == STATED
        assert not tracing.is_sampled()
