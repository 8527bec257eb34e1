"""OpenTelemetry's own variables say where spans and metrics go; what they name wrongly is refused by its name."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.exporters import METRICS, TRACES, exporter, exporting_spans

Stated = Callable[[dict[str, str]], None]

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}


@pytest.fixture
def stated(monkeypatch: pytest.MonkeyPatch) -> Stated:
    """Give a function that states OpenTelemetry's variables, and no others of its."""
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "")  # what is set meanwhile is gone afterwards
    monkeypatch.delenv("OTEL_SERVICE_NAME")

    def state(environment: dict[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return state


@pytest.mark.parametrize(
    ("environment", "spans", "metrics"),
    [
        ({}, None, None),
        (ENDPOINT, GrpcSpans, GrpcMetrics),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"}, GrpcSpans, None),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4317"}, None, GrpcMetrics),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, HttpSpans, GrpcMetrics),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, GrpcSpans, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x, a=b"}, GrpcSpans, GrpcMetrics),
        ({"OTEL_TRACES_EXPORTER": "console"}, ConsoleSpanExporter, None),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, None, None),
    ],
)
def test_the_variables_say_what_is_sent_and_how(
    environment: dict[str, str], spans: type | None, metrics: type | None, stated: Stated
) -> None:
    stated(environment)
    for signal, wanted in ((TRACES, spans), (METRICS, metrics)):
        found = exporter(signal)
        assert (None if found is None else type(found)) is wanted
        if found is not None:
            found.shutdown()


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "smoke"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
    ],
)
def test_what_nobody_knows_is_refused_by_its_variable(
    environment: dict[str, str], variable: str, stated: Stated
) -> None:
    stated(environment)
    with pytest.raises(QmtlError, match=f"^{variable} is .* must be one of") as refused:
        exporter(TRACES)
    assert (refused.value.reason, refused.value.metadata) == (Reason.NOT_CONFIGURED, {"setting": variable})


@pytest.mark.parametrize(
    "malformed",
    [
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "abc"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "1"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x"},
    ],
)
def test_what_only_the_library_reads_is_refused_in_one_sentence(malformed: dict[str, str], stated: Stated) -> None:
    stated({**ENDPOINT, **malformed})
    with pytest.raises(QmtlError, match=r"^a variable OTEL_… is malformed: ") as refused, exporting_spans("qmtl"):
        pass
    assert refused.value.reason is Reason.NOT_CONFIGURED


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization SECRET"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b,SECRET"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:SECRET"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "SECRET"),
    ],
)
def test_what_the_library_would_log_and_go_on_without_is_refused_unsaid(
    variable: str, value: str, stated: Stated
) -> None:
    stated({**ENDPOINT, variable: value})
    with pytest.raises(QmtlError, match=f"^{variable} is malformed") as refused:
        exporter(TRACES)
    assert "SECRET" not in str(refused.value)


def test_spans_for_the_console_do_not_mix_with_an_answer(stated: Stated, capsys: pytest.CaptureFixture[str]) -> None:
    stated({"OTEL_TRACES_EXPORTER": "console"})
    with exporting_spans("qmtl"), tracing.span("work", begins=True):
        pass
    told = capsys.readouterr()
    assert told.out == ""
    assert '"name": "work"' in told.err


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "qmtl-world"),
        ({"OTEL_SERVICE_NAME": "ours"}, "ours"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs"}, "theirs"),
    ],
)
def test_a_service_has_its_own_name_unless_another_is_stated(
    environment: dict[str, str], name: str, stated: Stated, capsys: pytest.CaptureFixture[str]
) -> None:
    stated({**environment, "OTEL_TRACES_EXPORTER": "console"})
    with exporting_spans("qmtl-world"), tracing.span("work", begins=True):
        pass
    assert f'"service.name": "{name}"' in capsys.readouterr().err
