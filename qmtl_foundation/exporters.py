"""Where spans and metrics are sent, by OpenTelemetry's standard variables.

``OTEL_EXPORTER_OTLP_ENDPOINT`` sends both by OTLP, ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` and ``…_METRICS_ENDPOINT``
one of them; ``OTEL_TRACES_EXPORTER`` and ``OTEL_METRICS_EXPORTER`` name another exporter, or ``none``. Everything else
(headers, certificates, sampler, resource) the library reads from its own variables. Without any, nothing is sent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason

TRACES: Final = "TRACES"
METRICS: Final = "METRICS"
NONE: Final = "none"
OTLP: Final = "otlp"
LAST_SECONDS: Final = 1.0
PROTOCOLS: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}

SERVICE_NAME: Final = "OTEL_SERVICE_NAME"


class Ending(Protocol):
    """Be what is shut down at the end of a process."""

    def shutdown(self) -> Any:
        """Send what is left, and end."""


def exporter(signal: str, environ: Mapping[str, str] = os.environ) -> Any | None:
    """Return what sends a signal, None for nothing. Raises QmtlError NOT_CONFIGURED for what is not installed."""
    name = _named(signal, environ)
    if name == NONE:
        return None
    if name == OTLP:
        name = _protocol(signal, environ)
    found = entry_points(group=f"opentelemetry_{signal.lower()}_exporter", name=name)
    if not found:
        known = sorted({OTLP, NONE, *entry_points(group=f"opentelemetry_{signal.lower()}_exporter").names})
        raise _not_configured(f"OTEL_{signal}_EXPORTER", name, known)
    return next(iter(found)).load()()


@contextmanager
def exporting_spans(service: str) -> Iterator[None]:
    """Send the spans of this process where the environment says, and the last of them at the end.

    Spans and metrics are of the service ``OTEL_SERVICE_NAME``, which is ``service`` where it is not stated. Raises as
    ``exporter``.
    """
    os.environ.setdefault(SERVICE_NAME, service)
    sent = exporter(TRACES)
    if sent is None:
        yield
        return
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(sent))
    try:
        with tracing.recorded(provider):
            yield
    finally:
        end(provider, sent)


def end(provider: Ending, sent: Ending) -> None:
    """Send what is left, and give up after ``LAST_SECONDS`` where nobody takes it: nothing waits for a collector."""
    ending = threading.Thread(target=provider.shutdown, name="qmtl-last-signals", daemon=True)
    ending.start()
    ending.join(LAST_SECONDS)
    if ending.is_alive():
        sent.shutdown()  # which ends its repetitions
        ending.join(LAST_SECONDS)


def _named(signal: str, environ: Mapping[str, str]) -> str:
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NONE
    has_endpoint = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return environ.get(f"OTEL_{signal}_EXPORTER") or (OTLP if has_endpoint else NONE)


def _protocol(signal: str, environ: Mapping[str, str]) -> str:
    variable = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
    if not environ.get(variable):
        variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    stated = environ.get(variable) or "grpc"
    if stated not in PROTOCOLS:
        raise _not_configured(variable, stated, list(PROTOCOLS))
    return PROTOCOLS[stated]


def _not_configured(variable: str, stated: str, known: list[str]) -> QmtlError:
    return QmtlError(
        Reason.NOT_CONFIGURED, f"{variable} is {stated!r}, must be one of {known}", metadata={"setting": variable}
    )
