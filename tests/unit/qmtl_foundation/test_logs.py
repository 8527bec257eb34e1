"""A line of a service's log is one JSON object, with the trace within which it was written."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta

import pytest

from qmtl_foundation import tracing
from qmtl_foundation.logs import LineFormatter
from qmtl_sdk.local.log_lines import readable

STATED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def record(message: str, *values: object, **more: object) -> logging.LogRecord:
    return logging.LogRecord("qmtl_world.apply.relay", logging.WARNING, "relay.py", 1, message, values, None, **more)  # type: ignore[arg-type]  # what a record may have more is not stated


def written(entry: logging.LogRecord) -> dict[str, str]:
    line = LineFormatter().format(entry)
    assert "\n" not in line
    found: dict[str, str] = json.loads(line)
    return found


def test_a_line_says_when_how_grave_where_and_what() -> None:
    entry = record("relay waits: %s", "über\n7 s")
    line = written(entry)
    assert list(line) == ["time", "level", "logger", "message"]
    assert (line["level"], line["logger"], line["message"]) == (
        "WARNING",
        "qmtl_world.apply.relay",
        "relay waits: über\n7 s",
    )
    moment = datetime.fromisoformat(line["time"])
    assert moment.utcoffset() == timedelta(0)
    assert abs(moment.timestamp() - entry.created) < 0.002


def test_a_line_names_the_trace_it_was_written_in() -> None:
    with tracing.span("work", STATED):
        line = written(record("within"))
    assert (line["trace_id"], line["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def test_a_fault_is_written_with_its_traceback_in_the_same_line() -> None:
    entry = record("failed")
    entry.exc_info = (KeyError, KeyError("gone"), None)
    assert "KeyError: 'gone'" in written(entry)["exc_info"]


def test_what_is_not_ascii_or_a_number_of_json_stays_one_line_of_json() -> None:
    assert written(record("%s %s", "\udce9", float("nan")))["message"] == "\udce9 nan"
    assert LineFormatter().format(record("ü")).isascii()


def test_people_read_a_line_with_its_trace_and_traceback() -> None:
    line = {
        "time": "12:00",
        "level": "ERROR",
        "logger": "qmtl",
        "message": "failed",
        "trace_id": "0af7",
        "span_id": "b7",
    }
    assert readable(json.dumps(line)) == "12:00 ERROR qmtl: failed trace_id=0af7"
    assert readable(json.dumps({**line, "exc_info": "Traceback\n  …"})).endswith("trace_id=0af7\nTraceback\n  …")


@pytest.mark.parametrize("line", ["2026 LOG: checkpoint", "", "[1]", "7", '{"level": "INFO"}', '{"time": '])
def test_lines_of_others_are_read_as_they_are(line: str) -> None:
    assert readable(line) == line
