"""Whether what OpenTelemetry's variables say can be done: to whom spans and metrics go, if to anybody."""

from __future__ import annotations

from qmtl_foundation.diagnosis.finding import Finding, fault, ok
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.exporters import METRICS, TRACES, exporter, is_exported


def examine_exporters() -> list[Finding]:
    """Return how the exporters of this process's environment are; nothing of a signal that is sent nowhere."""
    return [_examine(signal) for signal in (TRACES, METRICS) if is_exported(signal)]


def _examine(signal: str) -> Finding:
    what = f"OTEL_… of {signal.lower()}"
    try:
        sent = exporter(signal)
    except QmtlError as error:
        return fault(what, error.message, "mend the variable, or unset it: nothing is sent then")
    if sent is not None:
        sent.shutdown()
    return ok(what, f"sent by {type(sent).__module__.removeprefix('opentelemetry.')}")
