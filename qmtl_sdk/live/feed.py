"""What reaches a strategy at the close of each bar of its world: a replay of delivered history, bar by bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.strategy.program import Program
from qmtl_sdk.strategy.values import FloatArray
from qmtl_sdk.submission.inputs import stream_inputs


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Hold the close of one bar of the world (nanoseconds of UTC), and what became known with it.

    ``rows``: by the NodeID of each stream that has a bar at this moment its columns, each float64 [S].
    """

    timestamp: int
    rows: Mapping[str, Mapping[str, FloatArray]]


def replay(program: Program, streams: Streams) -> Iterator[Moment]:
    """Yield the moments of a program's streams in order: a coarser bar comes with the last bar that it is made of.

    Raises QmtlError DATA_UNAVAILABLE as ``stream_inputs``.
    """
    panels = stream_inputs(program, streams)
    places = dict.fromkeys(panels, 0)
    for timestamp in streams.bars.timestamps.tolist():
        rows: dict[str, Mapping[str, FloatArray]] = {}
        for stream, panel in panels.items():
            if _closes(panel, places[stream], timestamp):
                rows[stream] = {name: column[places[stream]] for name, column in panel.columns.items()}
                places[stream] += 1
        yield Moment(timestamp, rows)


def _closes(panel: Panel, place: int, timestamp: int) -> bool:
    return place < len(panel.timestamps) and int(panel.timestamps[place]) <= timestamp
