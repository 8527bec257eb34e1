"""Give each stream of a program its panel, from what the world's data preset delivered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.coarse import coarser, why_not
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.strategy.clock import BARS, WORLD_SYMBOLS
from qmtl_sdk.strategy.interval import WORLD_INTERVAL_S
from qmtl_sdk.strategy.node import Node
from qmtl_sdk.strategy.program import Program


def stream_inputs(program: Program, streams: Streams) -> Mapping[str, Panel]:
    """Return by NodeID the panel of each stream of a program.

    Raises QmtlError(DATA_UNAVAILABLE) for a stream, interval or symbol that the preset does not have, and where there
    are fewer bars than the stream needs.
    """
    check_streams(program, streams)
    intervals = {stream.interval_s for stream in program.streams if stream.name == BARS}
    bars = {interval_s: _bars(streams, interval_s) for interval_s in intervals}
    panels = {}
    for stream in program.streams:
        whole = bars[stream.interval_s] if stream.name == BARS else streams.published[stream.name]
        if len(whole.timestamps) < stream.period:
            found = f"has {len(whole.timestamps)} bars, fewer than the {stream.period} needed"
            raise _missing(stream, streams, f"{found}; choose another preset or stream")
        panels[stream.node_id] = _chosen(stream, streams, whole)
    return panels


def check_streams(program: Program, streams: Streams) -> None:
    """Raise QmtlError(DATA_UNAVAILABLE) for a stream or an interval that the preset does not have."""
    fine_s = streams.bars.interval_s
    for stream in program.streams:
        if stream.name != BARS and stream.name not in streams.published:
            known = ", ".join((BARS, *streams.published))
            raise _missing(stream, streams, f"has no such stream, only {known}; list it under streams of a preset")
        if stream.interval_s in (WORLD_INTERVAL_S, fine_s):
            continue
        if stream.name != BARS:
            raise _missing(stream, streams, "delivers it on its own bars; leave interval= out")
        obstacle = why_not(fine_s, stream.interval_s)
        if obstacle:
            raise _missing(stream, streams, obstacle)


def _bars(streams: Streams, interval_s: int) -> Panel:
    if interval_s in (WORLD_INTERVAL_S, streams.bars.interval_s):
        return streams.bars
    return coarser(streams.bars, streams.grid, streams.calendar, interval_s)


def _chosen(stream: Node, streams: Streams, whole: Panel) -> Panel:
    symbols = stream.params["symbols"]
    if symbols == WORLD_SYMBOLS or not isinstance(symbols, list | tuple):
        return whole
    wanted = tuple(str(symbol) for symbol in symbols)
    unknown = [symbol for symbol in wanted if symbol not in whole.symbols]
    if unknown:
        known = ", ".join(whole.symbols)
        raise _missing(stream, streams, f"has no {', '.join(unknown)}, only {known}; choose another preset or symbol")
    places = [whole.symbols.index(symbol) for symbol in wanted]
    columns = {name: np.ascontiguousarray(column[:, places]) for name, column in whole.columns.items()}
    return Panel(whole.timestamps, wanted, columns, whole.interval_s)


def _missing(stream: Node, streams: Streams, what: str) -> QmtlError:
    return QmtlError(
        Reason.DATA_UNAVAILABLE,
        f"stream {stream.name!r}: data preset {streams.preset!r} {what}",
        metadata={"stream": stream.name, "data_preset": streams.preset},
    )
