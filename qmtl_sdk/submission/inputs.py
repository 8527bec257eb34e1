"""The data of a program: the bars that the world's preset delivers, under each stream that asks for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.strategy.clock import BARS, WORLD_SYMBOLS
from qmtl_sdk.strategy.interval import WORLD_INTERVAL_S
from qmtl_sdk.strategy.node import Node
from qmtl_sdk.strategy.program import Program


def stream_inputs(program: Program, bars: Panel, preset: str) -> Mapping[str, Panel]:
    """Return by NodeID the panel of each stream of a program.

    Raises QmtlError(DATA_UNAVAILABLE) for a stream, interval or symbol that the preset does not have.
    """
    return {stream.node_id: _panel(stream, bars, preset) for stream in program.streams}


def _panel(stream: Node, bars: Panel, preset: str) -> Panel:
    name = stream.params["stream"]
    if name != BARS:
        raise _missing(stream, f"has no stream {name!r}, only {BARS!r}", preset)
    if stream.interval_s not in (WORLD_INTERVAL_S, bars.interval_s):
        raise _missing(stream, f"has bars of {bars.interval_s} s, not of {stream.interval_s} s", preset)
    if len(bars.timestamps) < stream.period:
        raise _missing(stream, f"has {len(bars.timestamps)} bars, fewer than the {stream.period} needed", preset)
    symbols = stream.params["symbols"]
    if symbols == WORLD_SYMBOLS or not isinstance(symbols, list | tuple):
        return bars
    wanted = tuple(str(symbol) for symbol in symbols)
    unknown = [symbol for symbol in wanted if symbol not in bars.symbols]
    if unknown:
        raise _missing(stream, f"has no {', '.join(unknown)}; it has {', '.join(bars.symbols)}", preset)
    places = [bars.symbols.index(symbol) for symbol in wanted]
    columns = {name: np.ascontiguousarray(column[:, places]) for name, column in bars.columns.items()}
    return Panel(bars.timestamps, wanted, columns, bars.interval_s)


def _missing(stream: Node, what: str, preset: str) -> QmtlError:
    return QmtlError(
        Reason.DATA_UNAVAILABLE,
        f"stream {stream.name!r}: data preset {preset!r} {what}; choose another preset or stream",
        metadata={"stream": stream.name, "preset": preset},
    )
