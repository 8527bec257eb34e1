"""The clock rule: on which stream's bars nodes of several intervals meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from qmtl_sdk.strategy.interval import WORLD_INTERVAL_S

if TYPE_CHECKING:
    from qmtl_sdk.strategy.node import Node

BARS: Final = "bars"  # the stream of a preset's bars
WORLD_SYMBOLS: Final = "world"  # a stream's symbols, where they are not stated


def common_clock(nodes: Sequence[Node]) -> Node:
    """Return the stream on whose bars the nodes meet.

    The world's interval wins, because targets are decided on the world's bars; among stated intervals the finest
    wins; among equals the stream "bars", then the world's symbols before stated ones, then the first.
    """
    first = nodes[0].clock
    if all(node.clock is first for node in nodes):
        return first
    return min((node.clock for node in nodes), key=_preference)


def same_clock(left: Node, right: Node) -> bool:
    """Tell whether two clocks are one stream."""
    return left is right or left.node_id == right.node_id


def _preference(clock: Node) -> tuple[bool, int, bool, bool]:
    stated_symbols = clock.params.get("symbols") != WORLD_SYMBOLS
    return clock.interval_s != WORLD_INTERVAL_S, clock.interval_s, clock.name != BARS, stated_symbols
