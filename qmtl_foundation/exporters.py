"""Where spans and metrics are sent, by OpenTelemetry's standard variables.

``OTEL_EXPORTER_OTLP_ENDPOINT`` sends both by OTLP, ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` and ``…_METRICS_ENDPOINT``
one of them; ``OTEL_TRACES_EXPORTER`` and ``OTEL_METRICS_EXPORTER`` name another exporter, or ``none``. Everything else
(headers, certificates, sampler, resource) the library reads from its own variables. Without any, nothing is sent.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason

TRACES: Final = "TRACES"
METRICS: Final = "METRICS"
NONE: Final = "none"
OTLP: Final = "otlp"
CONSOLE: Final = "console"
PROTOCOLS: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+=[^\s,;]*")
LAST_SECONDS: Final = 1.0
SERVICE_NAME: Final = "OTEL_SERVICE_NAME"


class Ending(Protocol):
    """Be what is shut down at the end of a process."""

    def shutdown(self) -> Any:
        """Send what is left, and end."""


def is_exported(signal: str) -> bool:
    """Tell whether a signal is to be sent anywhere."""
    return _named(signal) != NONE


def exporter(signal: str) -> Any | None:
    """Return what sends a signal, None for nothing; raise QmtlError NOT_CONFIGURED for what is unknown or malformed."""
    name = _named(signal)
    if name == NONE:
        return None
    group = f"opentelemetry_{signal.lower()}_exporter"
    found = entry_points(group=group, name=_protocol(signal) if name == OTLP else name)
    if not found:
        raise _unknown(f"OTEL_{signal}_EXPORTER", name, [OTLP, CONSOLE, NONE])
    if name == OTLP:
        _check_otlp(signal)
    make = next(iter(found)).load()
    with _well_formed():
        return make(out=sys.stderr) if name == CONSOLE else make()


@contextmanager
def exporting_spans(service: str) -> Iterator[None]:
    """Send the spans of this process where the environment says, and the last of them at the end.

    Spans and metrics are of ``service`` where no variable names another. Raises as ``exporter``.
    """
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault(SERVICE_NAME, service)  # the library reads it for both
    sent = exporter(TRACES)
    if sent is None:
        yield
        return
    with _well_formed():
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(sent))
    try:
        with tracing.recorded(provider):
            yield
    finally:
        end(provider, sent)


def end(provider: Ending, sent: Ending) -> None:
    """Send what is left, and give up after ``LAST_SECONDS`` where nobody takes it, and as long again for what is on its
    way: nothing waits for a collector."""
    ending = threading.Thread(target=provider.shutdown, name="qmtl-last-signals", daemon=True)
    ending.start()
    ending.join(LAST_SECONDS)
    if ending.is_alive():
        sent.shutdown()  # which ends its repetitions
        ending.join(LAST_SECONDS)


def _named(signal: str) -> str:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NONE
    has_endpoint = any(
        os.environ.get(each) for each in ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    )
    return os.environ.get(f"OTEL_{signal}_EXPORTER") or (OTLP if has_endpoint else NONE)


def _protocol(signal: str) -> str:
    variable = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
    if not os.environ.get(variable):
        variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    stated = os.environ.get(variable) or "grpc"
    if stated not in PROTOCOLS:
        raise _unknown(variable, stated, list(PROTOCOLS))
    return PROTOCOLS[stated]


def _check_otlp(signal: str) -> None:
    """Refuse what the library would log, and go on without: a header may be a secret, an endpoint is none without a
    host."""
    for part in ("", f"{signal}_"):
        headers, endpoint = f"OTEL_EXPORTER_OTLP_{part}HEADERS", f"OTEL_EXPORTER_OTLP_{part}ENDPOINT"
        stated = os.environ.get(headers, "")
        if not all(HEADER.fullmatch(each.strip()) for each in stated.split(",") if each.strip()):
            raise _malformed(headers, "must be name=value, several by commas, percent-encoded")
        if os.environ.get(endpoint) and not _is_endpoint(os.environ[endpoint]):
            raise _malformed(endpoint, "must be such as http://127.0.0.1:4317")


def _is_endpoint(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number
        return False


@contextmanager
def _well_formed() -> Iterator[None]:
    """Say that a variable is malformed which the library reads by itself."""
    try:
        yield
    except Exception as error:  # it raises what it likes, and does not say of which variable
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"a variable OTEL_… is malformed: {error}",
            metadata={"setting": "OTEL_"},
        ) from error


def _malformed(variable: str, mend: str) -> QmtlError:
    return QmtlError(Reason.NOT_CONFIGURED, f"{variable} is malformed: it {mend}", metadata={"setting": variable})


def _unknown(variable: str, stated: str, known: list[str]) -> QmtlError:
    return QmtlError(
        Reason.NOT_CONFIGURED,
        f"{variable} is {stated!r}, must be one of {', '.join(known)}",
        metadata={"setting": variable},
    )
