"""OpenTelemetry's own variables say where spans and metrics go; what they name wrongly is refused by its name."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.exporters import METRICS, TRACES, exporter

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}


@pytest.mark.parametrize(
    ("environment", "spans", "metrics"),
    [
        ({}, None, None),
        (ENDPOINT, GrpcSpans, GrpcMetrics),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"}, GrpcSpans, None),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4317"}, None, GrpcMetrics),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, HttpSpans, GrpcMetrics),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, GrpcSpans, None),
        ({"OTEL_TRACES_EXPORTER": "console"}, ConsoleSpanExporter, None),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, None, None),
    ],
)
def test_the_variables_say_what_is_sent_and_how(
    environment: dict[str, str], spans: type | None, metrics: type | None
) -> None:
    for signal, wanted in ((TRACES, spans), (METRICS, metrics)):
        found = exporter(signal, environment)
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
def test_what_nobody_knows_is_refused_by_its_variable(environment: dict[str, str], variable: str) -> None:
    with pytest.raises(QmtlError, match=f"^{variable} is .* must be one of") as refused:
        exporter(TRACES, environment)
    assert (refused.value.reason, refused.value.metadata) == (Reason.NOT_CONFIGURED, {"setting": variable})
