"""The log of a service: one JSON object a line on standard error, with the trace that it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from opentelemetry import trace

from qmtl_foundation.errors import QmtlError, Reason

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


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


class LineFormatter(logging.Formatter):
    """Write a record as one line: ``time`` (UTC, RFC 3339), ``level``, ``logger``, ``message``; where there are,
    ``exc_info``, and ``trace_id`` and ``span_id`` in hexadecimal as W3C's Trace Context has them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        belongs = trace.get_current_span().get_span_context()
        if belongs.is_valid:
            line["trace_id"] = trace.format_trace_id(belongs.trace_id)
            line["span_id"] = trace.format_span_id(belongs.span_id)
        return json.dumps(line)
