"""The node: one step of a strategy's graph, immutable, identified by what it computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.identity import Json, NodeIdentity, node_id
from qmtl_sdk.strategy.clock import WORLD_SYMBOLS, common_clock, same_clock
from qmtl_sdk.strategy.expression import Expression
from qmtl_sdk.strategy.interval import interval_seconds
from qmtl_sdk.strategy.state import canonical_state
from qmtl_sdk.strategy.values import ValueKind

if TYPE_CHECKING:
    from qmtl_sdk.operators.catalog import Operator

DEFAULT_TOLERANCE: Final = 1e-9  # relative; of the look-ahead proof, for values that accumulate
MAX_TOLERANCE: Final = 1e-6  # relative; beyond it the future would pass as rounding


class NodeKind(StrEnum):
    """Name how a node computes its value."""

    STREAM = "stream"
    TAG_QUERY = "tag_query"
    OPERATOR = "operator"
    FUNCTION = "function"
    FOLD = "fold"


class MatchMode(StrEnum):
    """Say whether a tag query wants nodes with any or with all of its tags."""

    ANY = "any"
    ALL = "all"


class _Missing(StrEnum):
    MISSING = "missing"


MISSING: Final = _Missing.MISSING


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """Name one input of a node; the order of a node's inputs is part of its identity.

    ``asked`` is the node that the author gave; ``node`` the same one, joined to the clock where clocks differ.
    """

    name: str
    node: Node
    asked: Node


class Node(Expression):
    """Compute one value per bar and symbol from inputs by an author's own function.

    ``Node(compute, input=[…], period=n)`` is a function: ``compute(view)`` gets the aligned, read-only view of its
    inputs and returns a column (Polars expression or series, NumPy array) of the same length; the value at bar t may
    depend on the bars [t - period + 1, t] only. With ``initial=`` it is a fold: ``compute(state, bar)`` returns
    ``(state, value)``; its values count after ``warmup`` bars. Both run for each symbol alone unless
    ``cross_section=True`` (functions only). ``input`` is a node, a sequence of nodes or a mapping of names to nodes.
    """

    kind: NodeKind
    name: str
    inputs: tuple[Input, ...]
    clock: Node
    interval_s: int
    period: int
    params: Mapping[str, Json]
    tags: tuple[str, ...]
    operator: Operator | None
    compute: Callable[..., Any] | None
    initial: Any
    warmup: int
    cross_section: bool
    tolerance: float
    single: bool

    def __init__(
        self,
        compute: Callable[..., Any],
        input: Node | Sequence[Node] | Mapping[str, Node],  # noqa: A002  # the author's word, fixed by the specification
        *,
        period: int | None = None,
        initial: Any = MISSING,
        warmup: int = 0,
        name: str | None = None,
        tags: Sequence[str] = (),
        cross_section: bool = False,
        tolerance: float = DEFAULT_TOLERANCE,
    ) -> None:
        if not callable(compute):
            raise invalid_field("compute", f"{compute!r} cannot be called; give a function")
        name = name or str(getattr(compute, "__name__", type(compute).__name__))
        kind = NodeKind.FUNCTION if initial is MISSING else NodeKind.FOLD
        if kind is NodeKind.FOLD:
            _check_fold(name, period, warmup, cross_section)
            period = warmup + 1
        elif warmup:
            raise invalid_field("warmup", f"node {name!r} is no fold; state period= instead, or give initial=")
        elif period is None:
            raise invalid_field("period", f"node {name!r} needs period=, the bars that one value depends on")
        self._settle(
            kind, name, _joined(_named(name, input)), period=period, tags=tags, compute=compute, initial=initial,
            warmup=warmup, cross_section=cross_section, tolerance=_checked_tolerance(name, tolerance),
        )  # fmt: skip

    def _settle(
        self,
        kind: NodeKind,
        name: str,
        inputs: tuple[Input, ...],
        *,
        period: int = 1,
        interval_s: int | None = None,
        params: Mapping[str, Json] | None = None,
        tags: Sequence[str] = (),
        operator: Operator | None = None,
        compute: Callable[..., Any] | None = None,
        initial: Any = MISSING,
        warmup: int = 0,
        cross_section: bool = False,
        tolerance: float = DEFAULT_TOLERANCE,
        clock: Node | None = None,
        single: bool | None = None,
    ) -> None:
        if type(period) is not int or period < 1:
            raise invalid_field("period", f"{period!r} on node {name!r}; give a whole number of bars, at least 1")
        self.kind = kind
        self.name = name
        self.inputs = inputs
        if clock is None:
            clock = inputs[0].node.clock if inputs else self
        self.clock = clock
        self.interval_s = clock.interval_s if interval_s is None else interval_s
        self.period = period
        self.params = params or {}
        self.tags = _checked_tags(tags) if tags else ()
        self.operator = operator
        self.compute = compute
        self.initial = initial
        self.warmup = warmup
        self.cross_section = cross_section
        self.tolerance = tolerance
        self.single = bool(inputs) and all(entry.node.single for entry in inputs) if single is None else single
        self._frozen = True

    def __setattr__(self, attribute: str, value: object) -> None:
        """Refuse changes: the node's identity is of what it was when built."""
        if self.__dict__.get("_frozen"):
            raise AttributeError(f"node {self.name!r} is immutable; {attribute} cannot be set")
        self.__dict__[attribute] = value

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        """Return kind and display name."""
        return f"<{self.kind} node {self.name!r}>"

    @cached_property
    def identity(self) -> NodeIdentity:
        """Say what this node computes.

        Raises CodeIdentityError (functions and folds) or QmtlError NO_CANONICAL_FORM naming what cannot be hashed.
        """
        inputs = tuple((entry.name, entry.node.node_id) for entry in self.inputs)
        if self.compute is None:
            return NodeIdentity(self._node_type(), self.interval_s, self.period, self.params, inputs)
        return NodeIdentity(
            self._node_type(), self.interval_s, self.period, self._code_params(), inputs, code_hash=self._code_hash()
        )

    @cached_property
    def node_id(self) -> str:
        """Return the NodeID: the same for equal computations, whoever wrote them."""
        return node_id(self.identity)

    def _apply(
        self, operator: str, operands: Mapping[str, object], params: Mapping[str, Json] | None = None, period: int = 1
    ) -> OperatorNode:
        from qmtl_sdk.operators.catalog import OPERATORS  # the catalog's kernels speak of strategy.values

        return OperatorNode.of(OPERATORS[operator], operands, params or {}, period)

    @property
    def has_columns(self) -> bool:
        """Tell whether the value is several columns (streams, tag queries, and these joined) rather than one."""
        if self.kind is NodeKind.OPERATOR:
            return self.operator is not None and self.operator.keeps_columns and self.inputs[0].node.has_columns
        return self.kind in (NodeKind.STREAM, NodeKind.TAG_QUERY)

    @property
    def value_kind(self) -> ValueKind | None:
        """Return what the value holds, where that is known before it is computed."""
        if self.kind is NodeKind.STREAM:
            return ValueKind.FLOAT
        if self.operator is None:
            return None
        return self.operator.result or self.inputs[0].node.value_kind

    def _node_type(self) -> str:
        version = 2 if self.kind is NodeKind.FUNCTION else 1  # of how the engine runs it, as an operator's is
        return self.operator.node_type if self.operator else f"{self.kind}/{version}"

    def _code_params(self) -> dict[str, Json]:
        if self.kind is NodeKind.FUNCTION:
            return {"cross_section": self.cross_section}
        return {"initial": canonical_state(self.name, self.initial), "warmup": self.warmup}

    def _code_hash(self) -> str:
        from qmtl_sdk.strategy.code import code_hash  # parses source: only strategies with code of their own pay for it

        assert self.compute is not None  # noqa: S101  # functions and folds have one by construction
        return code_hash(self.compute)


class OperatorNode(Node):
    """Hold one built-in operator applied to nodes; made by expressions, never by name."""

    def __init__(
        self,
        operator: Operator,
        inputs: Sequence[tuple[str, Node]],
        params: Mapping[str, Json],
        *,
        period: int = 1,
        clock: Node | None = None,
        single: bool | None = None,
    ) -> None:
        entries = tuple(Input(name, node, node) for name, node in inputs)
        self._settle(
            NodeKind.OPERATOR, operator.name, entries, period=period, params=params, operator=operator, clock=clock,
            single=single,
        )  # fmt: skip

    @classmethod
    def of(
        cls, operator: Operator, operands: Mapping[str, object], params: Mapping[str, Json], period: int
    ) -> OperatorNode:
        """Apply an operator to nodes and numbers: numbers become parameters, nodes meet on their common clock.

        Raises QmtlError INVALID_FIELD naming the operator, the operand and what it should be.
        """
        nodes = [(name, _operand(operator, name, node)) for name, node in operands.items() if isinstance(node, Node)]
        numbers = {name: _number(operator, name, x) for name, x in operands.items() if not isinstance(x, Node)}
        clock = common_clock([node for _, node in nodes])
        joined = [(name, on_clock(node, clock)) for name, node in nodes]
        single = True if operator.name == "symbol" else None
        return cls(operator, joined, {**params, **numbers}, period=period, single=single)


class StreamInput(Node):
    """Stand for one stream of the world's data preset: columns over [time, symbol].

    ``interval`` is "1h", "1d", …, seconds, or None for the world's; ``symbols`` None means the world's. ``period``
    is the least number of bars that has to be there.
    """

    def __init__(
        self,
        name: str,
        *,
        interval: str | int | None = None,
        period: int = 1,
        tags: Sequence[str] = (),
        symbols: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise invalid_field("name", f"{name!r} is no stream; give the name that the data preset uses")
        chosen: Json = WORLD_SYMBOLS if symbols is None else _checked_symbols(symbols)
        self._settle(
            NodeKind.STREAM, name, (), period=period, interval_s=interval_seconds(interval), tags=tags,
            params={"stream": name, "symbols": chosen},
        )  # fmt: skip


class TagQueryNode(Node):
    """Stand for the nodes of the strategy that carry tags, as one input with a column for each.

    The identity covers the query (sorted tags, match mode, interval), never the nodes that match.
    """

    def __init__(
        self,
        query_tags: Sequence[str],
        interval: str | int | None = None,
        period: int = 1,
        match_mode: MatchMode | str = MatchMode.ANY,
    ) -> None:
        tags = sorted(set(_checked_tags(query_tags)))
        if not tags:
            raise invalid_field("query_tags", "is empty; give at least one tag")
        if match_mode not in list(MatchMode):
            raise invalid_field("match_mode", f"{match_mode!r}; write 'any' or 'all'")
        self.query_tags = tuple(tags)
        self.match_mode = MatchMode(match_mode)
        self._settle(
            NodeKind.TAG_QUERY, f"tags({', '.join(tags)})", (), period=period, interval_s=interval_seconds(interval),
            params={"tags": tags, "match_mode": self.match_mode.value},
        )  # fmt: skip

    def matches(self, node: Node) -> bool:
        """Tell whether a node carries the tags on the query's interval."""
        if not node.tags or node.kind is NodeKind.STREAM or node.interval_s != self.interval_s:
            return False
        found = set(self.query_tags) & set(node.tags)
        return bool(found) if self.match_mode is MatchMode.ANY else len(found) == len(self.query_tags)


def _check_fold(name: str, period: int | None, warmup: int, cross_section: bool) -> None:
    if cross_section:
        raise invalid_field("cross_section", f"fold {name!r} runs for each symbol alone; use a function node")
    if period is not None:
        raise invalid_field("period", f"fold {name!r} depends on all bars before; state warmup= instead")
    if type(warmup) is not int or warmup < 0:
        raise invalid_field("warmup", f"{warmup!r} on fold {name!r}; give a whole number of bars, at least 0")


def _checked_tolerance(name: str, tolerance: float) -> float:
    plain = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if not plain or not 0.0 <= tolerance <= MAX_TOLERANCE:
        raise invalid_field(
            "tolerance",
            f"{tolerance!r} on node {name!r} is outside [0, {MAX_TOLERANCE:g}]; it is for rounding that accumulates, "
            "relative to the value: leave it out, or compute each window by itself",
        )
    return float(tolerance)


def _named(owner: str, given: Node | Sequence[Node] | Mapping[str, Node]) -> list[tuple[str, Node]]:
    if isinstance(given, Node):
        entries = [("value", given)]
    elif isinstance(given, Mapping):
        entries = list(given.items())
    else:
        entries = [(f"value{index}" if len(given) > 1 else "value", node) for index, node in enumerate(given)]
    if not entries:
        raise invalid_field("input", f"node {owner!r} has no input; give at least one node")
    for name, node in entries:
        if not isinstance(name, str) or not isinstance(node, Node):
            raise invalid_field("input", f"{name!r}: {node!r} on node {owner!r} is no node")
    return entries


def on_clock(node: Node, clock: Node) -> Node:
    """Return the node as known on the bars of ``clock``: as of its last closed bar, or itself on its own clock."""
    if same_clock(node.clock, clock):
        return node
    from qmtl_sdk.operators.catalog import OPERATORS  # the catalog's kernels speak of strategy.values

    inputs, single = [("value", node), ("clock", clock)], node.single
    return OperatorNode(OPERATORS["as_of"], inputs, {"single": single}, clock=clock, single=single)


def _joined(entries: Sequence[tuple[str, Node]]) -> tuple[Input, ...]:
    clock = common_clock([node for _, node in entries])
    return tuple(Input(name, on_clock(node, clock), node) for name, node in entries)


def _operand(operator: Operator, name: str, node: Node) -> Node:
    columns = node.has_columns
    if columns and not operator.takes_columns:
        raise invalid_field(name, f"{node.name!r} of {operator.name} has several columns; choose one: node['close']")
    if operator.takes_columns and not columns and operator.name == "column":
        raise invalid_field(name, f"{node.name!r} has no columns to choose from; [...] is for streams")
    if operator.logical and name in operator.logical and node.value_kind not in (None, ValueKind.BOOL):
        raise invalid_field(name, f"{node.name!r} of {operator.name} is a number; compare it first, e.g. node > 0")
    return node


def _number(operator: Operator, name: str, number: object) -> float:
    if isinstance(number, bool) or name in operator.logical or not isinstance(number, int | float | np.number):
        raise invalid_field(name, f"{number!r} of {operator.name} is neither a node nor a number")
    if not math.isfinite(number):
        raise invalid_field(name, f"{number!r} of {operator.name} is not finite; leave else_ out for null")
    return float(number)


def _checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag for tag in tags):
        raise invalid_field("tags", f"{tags!r}; give a list of non-empty strings")
    return tuple(tags)


def _checked_symbols(symbols: Sequence[str]) -> list[str]:
    chosen = [symbols] if isinstance(symbols, str) else list(symbols)
    if not chosen or not all(isinstance(symbol, str) and symbol for symbol in chosen):
        raise invalid_field("symbols", f"{symbols!r}; give a list of symbols, or leave it out for the world's")
    if len(set(chosen)) != len(chosen):
        raise QmtlError(Reason.INVALID_FIELD, f"symbols: {chosen!r} names one twice", metadata={"field": "symbols"})
    return chosen
