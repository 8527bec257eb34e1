"""The log of a service: one JSON object a line on standard error, with the trace that it belongs to."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

from qmtl_foundation.errors import QmtlError, Reason

LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_NAMES: Final = {"levelname": "level", "name": "logger"}


def check_log_level(level: str) -> None:
    """Raise QmtlError NOT_CONFIGURED for a level that logging does not know."""
    if level.lower() not in LOG_LEVELS:
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"QMTL_LOG_LEVEL is {level!r}, must be one of {', '.join(LOG_LEVELS)}",
            metadata={"setting": "QMTL_LOG_LEVEL"},
        )


def configure_logging(level: str) -> None:
    """Log to standard error from a level on. Raises as ``check_log_level``."""
    check_log_level(level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class LineFormatter(JsonFormatter):
    """Write a record as one line: ``time`` (UTC, RFC 3339), ``level``, ``logger``, ``message``; where there are,
    ``exc_info``, and ``trace_id`` and ``span_id`` in hexadecimal as W3C's Trace Context has them."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s", rename_fields=_NAMES, json_ensure_ascii=False)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add what belongs to a record, its time first, and the trace within which it was made."""
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        super().add_fields(log_data, record, message_dict)
        belongs = trace.get_current_span().get_span_context()
        if belongs.is_valid:
            log_data["trace_id"] = trace.format_trace_id(belongs.trace_id)
            log_data["span_id"] = trace.format_span_id(belongs.span_id)
