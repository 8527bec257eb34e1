"""Records what a session did on a thread of its own: an application's span processors are an author's code, which must
hold up neither heartbeats nor acknowledgements."""

from __future__ import annotations

import threading
from datetime import datetime
from queue import SimpleQueue
from typing import Final

from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing

LAST_SECONDS: Final = 1.0

Followed = tuple[str, datetime, datetime, str, str]


class Spans:
    """Record spans until it is closed."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Followed | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._record, name="qmtl-spans", daemon=True)

    def open(self) -> None:
        """Begin to record."""
        self._thread.start()

    def followed(self, name: str, began: datetime, ended: datetime, trace: str, world: str) -> None:
        """Record that an event was followed, within the trace that it belongs to, if it belongs to one."""
        if trace:
            self._waiting.put((name, began, ended, trace, world))

    def close(self) -> None:
        """Record what is left, unless that takes long."""
        self._waiting.put(None)
        self._thread.join(LAST_SECONDS)

    def _record(self) -> None:
        while (one := self._waiting.get()) is not None:
            name, began, ended, trace, world = one
            tracing.past(name, began, ended, trace, SpanKind.CONSUMER, {"qmtl.world": world})
