"""A line of a log as people read it: the services write JSON, PostgreSQL and nats-server write text."""

from __future__ import annotations

import json


def readable(line: str) -> str:
    """Return a line of JSON as ``time level logger: message`` with its trace and traceback, any other as it is."""
    try:
        entry = json.loads(line)
        time, level, logger, message = (entry[name] for name in ("time", "level", "logger", "message"))
    except (ValueError, KeyError, TypeError):  # not JSON, or not of a service
        return line
    trace = f" trace_id={entry['trace_id']}" if "trace_id" in entry else ""
    fault = f"\n{entry['exc_info']}" if "exc_info" in entry else ""
    return f"{time} {level} {logger}: {message}{trace}{fault}"
