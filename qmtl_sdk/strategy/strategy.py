"""The strategy: typed parameters, and a set-up that names streams, nodes and one output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_sdk.strategy.clock import BARS
from qmtl_sdk.strategy.node import Node, StreamInput
from qmtl_sdk.strategy.parameters import Parameter, checked_parameters
from qmtl_sdk.strategy.values import ValueKind


class Strategy:
    """Derive from this, annotate parameters, and write ``setup``.

    ``class SmaCross(Strategy): fast: int = 10`` makes ``SmaCross(fast=5)``; parameters are bool, int, float or str.
    In ``setup`` name streams (``self.bars()``), write expressions and nodes, and end with ``self.target(…)`` or
    ``self.signal(…)``; with neither, the strategy is one whose returns are submitted.
    """

    name: ClassVar[str] = ""  # the strategy's name in its world; the class's own name where empty

    def __init__(self, **parameters: object) -> None:
        values = checked_parameters(type(self), Strategy, parameters)
        self._parameters: Mapping[str, Parameter] = MappingProxyType(values)
        self._outline = Outline()
        self.__dict__.update(values)

    def setup(self) -> None:
        """Name the strategy's nodes and its output; written by the author."""

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Return the parameters, defaults included."""
        if "_parameters" not in self.__dict__:
            name = type(self).__name__
            raise QmtlError(
                Reason.INVALID_STRATEGY,
                f"{name} defines __init__; annotate parameters on the class (`fast: int = 10`) and leave __init__ away",
                metadata={"strategy": name},
            )
        return self._parameters

    @property
    def display_name(self) -> str:
        """Return the strategy's name in its world."""
        return type(self).name or type(self).__name__

    def bars(self, interval: str | int | None = None, symbols: Sequence[str] | None = None) -> StreamInput:
        """Return the bars of the world's preset: open, high, low, close, volume over [time, symbol].

        ``interval`` and ``symbols`` are the world's unless stated. Bars of several intervals meet as of the last
        closed bar.
        """
        key = (interval, symbols if isinstance(symbols, str) or symbols is None else tuple(symbols))
        if key not in self._outline.streams:
            self._outline.streams[key] = StreamInput(BARS, interval=interval, symbols=symbols)
        return self._outline.streams[key]

    def add_nodes(self, nodes: Sequence[Node]) -> None:
        """Add nodes that no output needs: they are computed, and tag queries find them."""
        for node in nodes:
            if not isinstance(node, Node):
                raise invalid_field("nodes", f"{node!r} is no node; give StreamInput, Node or an expression of them")
        self._outline.nodes.extend(nodes)

    def target(self, target: Node | Mapping[str, Node | float]) -> None:
        """State the weight of each symbol, as a fraction of the strategy's capital; null holds, 0 is flat.

        A panel gives every symbol its weight; a mapping names symbols, each with a node or a number that stands on
        every bar, and the others stay flat.
        """
        self._outline.refuse_second("target")
        if isinstance(target, Mapping):
            if not target:
                raise invalid_field("target", "is an empty mapping; name at least one symbol")
            for symbol in target:
                if not isinstance(symbol, str) or not symbol:
                    raise invalid_field("target", f"{symbol!r} is no symbol")
            weights = {symbol: self._weight(f"target[{symbol!r}]", stated) for symbol, stated in target.items()}
            self._outline.by_symbol = weights
        else:
            self._outline.target = _checked_weight("target", target)

    def signal(self, signal: Node) -> None:
        """State a sign or score per symbol; the world's sizing rule turns it into targets."""
        self._outline.refuse_second("signal")
        self._outline.signal = _checked_node("signal", signal)

    def _weight(self, field: str, stated: object) -> Node:
        """Return the node of one symbol's weight; a number is the same on every bar of the world."""
        if isinstance(stated, int | float | np.number) and not isinstance(stated, bool):
            if not math.isfinite(stated):
                raise invalid_field(field, f"{stated!r} is not finite; give a finite weight, such as 0.5")
            close = self.bars()["close"]
            return close._apply("constant", {"clock": close, "value": stated})
        return _checked_weight(field, stated)


class Outline:
    """Collect what one ``setup`` names."""

    __slots__ = ("by_symbol", "nodes", "signal", "streams", "target")

    def __init__(self) -> None:
        self.streams: dict[object, StreamInput] = {}
        self.nodes: list[Node] = []
        self.target: Node | None = None
        self.by_symbol: dict[str, Node] = {}
        self.signal: Node | None = None

    def refuse_second(self, output: str) -> None:
        """Raise QmtlError INVALID_FIELD when an output has been stated before."""
        if self.target is not None or self.by_symbol or self.signal is not None:
            raise invalid_field(output, "the strategy has stated its output before; state one target or one signal")


def _checked_node(field: str, node: object) -> Node:
    if not isinstance(node, Node):
        raise invalid_field(field, f"{node!r} is no node; give an expression such as up.when(1.0, else_=0.0)")
    if node.has_columns:
        raise invalid_field(field, f"{node.name!r} has several columns; choose one: node['close']")
    return node


def _checked_weight(field: str, stated: object) -> Node:
    node = _checked_node(field, stated)
    if node.value_kind is ValueKind.BOOL:
        found = f"{node.name!r} is true or false, no weight"
        raise invalid_field(field, f"{found}; use .when(1.0, else_=0.0) or .long_only()")
    return node
