"""The streams, and what stands on which subject.

``ingest`` carries submissions in flight, ``control`` what worlds tell (``ActivationEvent``), ``orders`` marks and
intents in one total order for each world (``Mark``, ``OrderIntent``), ``reports`` what executors answer
(``OrderReport``). All of it is transport: truth is in the databases. Names of worlds and executors are single tokens of
a subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

INGEST: Final = "ingest"
CONTROL: Final = "control"
ORDERS: Final = "orders"
REPORTS: Final = "reports"

EVENT_ID: Final = "Qmtl-Event-Id"  # header of every event and mark; the relay compares by it
SUBMISSIONS: Final = f"{INGEST}.submission"
ALL_EVENTS: Final = f"{CONTROL}.activation.*"
ALL_MARKS: Final = f"{ORDERS}.*.mark"
ALL_INTENTS: Final = f"{ORDERS}.*.intent.*"
ALL_REPORTS: Final = f"{REPORTS}.*"

REPORTS_KEPT_SECONDS: Final = 7 * 86_400.0
ORDER_STREAM_BYTES: Final = 2 * 1024**3
MARK_HEADROOM_BYTES: Final = 64 * 1024**2  # of the order stream: ingress stops before, marks do not


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """Describe a stream: its name and subjects. Stored on file; kept until consumed when ``work_queue``.

    ``max_age_s`` 0 keeps messages for ever. ``max_bytes`` -1 is no limit; a full stream refuses what is new.
    """

    name: str
    subjects: tuple[str, ...]
    work_queue: bool = False
    replicas: int = 1
    duplicate_window_s: float = 120.0
    max_age_s: float = 0.0
    max_bytes: int = -1


def ingest_stream(replicas: int) -> StreamSpec:
    """Return the stream of submissions that gateways have taken and none has ended yet, a queue that they share."""
    return StreamSpec(INGEST, (f"{INGEST}.>",), work_queue=True, replicas=replicas)


def control_stream(replicas: int) -> StreamSpec:
    """Return the stream of activation events; kept for ever, for it is small."""
    return StreamSpec(CONTROL, (f"{CONTROL}.>",), replicas=replicas)


def order_stream(replicas: int) -> StreamSpec:
    """Return the stream of marks and intents.

    It has no maximum age: a Fence that expired would let a late order live. Only what every executor has settled is
    purged, by the world service.
    """
    return StreamSpec(ORDERS, (f"{ORDERS}.>",), replicas=replicas, max_bytes=ORDER_STREAM_BYTES)


def report_stream(replicas: int) -> StreamSpec:
    """Return the stream of reports; a sender that was away for longer asks the executor's tables."""
    return StreamSpec(REPORTS, (f"{REPORTS}.>",), replicas=replicas, max_age_s=REPORTS_KEPT_SECONDS)


def event_subject(world: str) -> str:
    """Return where a world's activation events stand."""
    return f"{CONTROL}.activation.{world}"


def mark_subject(world: str) -> str:
    """Return where a world's marks stand."""
    return f"{ORDERS}.{world}.mark"


def intent_subject(world: str, executor: str) -> str:
    """Return where a world's intents for one executor stand."""
    return f"{ORDERS}.{world}.intent.{executor}"


def report_subject(world: str) -> str:
    """Return where the reports of a world's intents stand."""
    return f"{REPORTS}.{world}"


def inbox_of(service: str) -> str:
    """Return the prefix of the subjects on which a service hears answers, so that none reads another's."""
    return f"_INBOX.{service}"
