"""The built-in operators by name and version: the words of a NodeID that need no code hash.

A change of what an operator computes, in any bit, is a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from qmtl_sdk.operators import cross_section, elementwise, rolling
from qmtl_sdk.operators.elementwise import Run
from qmtl_sdk.strategy.values import ValueKind

BOOLEAN_OPERANDS: Final = frozenset({"left", "right", "value"})


@dataclass(frozen=True, slots=True)
class Operator:
    """Describe one operator.

    ``run`` computes a value from the operands' values; None for those that change where a value lies (the engine runs
    them). ``result`` is what the value holds, None: what the first operand holds. ``logical`` names the operands that
    have to be true or false.
    """

    name: str
    run: Run | None
    result: ValueKind | None = ValueKind.FLOAT
    logical: frozenset[str] = frozenset()
    takes_columns: bool = False
    keeps_columns: bool = False
    version: int = 1
    node_type: str = field(init=False)

    def __post_init__(self) -> None:
        """Derive the node type that goes into the NodeID."""
        object.__setattr__(self, "node_type", f"op.{self.name}/{self.version}")


def _number(name: str, run: Run) -> Operator:
    return Operator(name, run)


def _truth(name: str, run: Run, logical: frozenset[str] = frozenset()) -> Operator:
    return Operator(name, run, ValueKind.BOOL, logical)


_ALL: Final = (
    Operator("column", None, None, takes_columns=True),
    Operator("symbol", None, None, takes_columns=True, keeps_columns=True),
    Operator("as_of", None, None, takes_columns=True, keeps_columns=True),
    _number("constant", elementwise.constant),
    _number("add", elementwise.exact_binary(np.add)),
    _number("subtract", elementwise.exact_binary(np.subtract)),
    _number("multiply", elementwise.exact_binary(np.multiply)),
    _number("divide", elementwise.binary(np.divide)),
    _number("power", elementwise.binary(np.power)),
    _number("minimum", elementwise.exact_binary(np.minimum)),
    _number("maximum", elementwise.exact_binary(np.maximum)),
    _number("negative", elementwise.exact_unary(np.negative)),
    _number("abs", elementwise.exact_unary(np.abs)),
    _number("sign", elementwise.exact_unary(np.sign)),
    _number("log", elementwise.unary(np.log)),
    _number("exp", elementwise.unary(np.exp)),
    _number("sqrt", elementwise.unary(np.sqrt)),
    _number("clip", elementwise.clip),
    _truth("greater", elementwise.greater),
    _truth("greater_equal", elementwise.greater_equal),
    _truth("less", elementwise.less),
    _truth("less_equal", elementwise.less_equal),
    _truth("equal", elementwise.equal),
    _truth("not_equal", elementwise.not_equal),
    _truth("and", elementwise.logical_and, BOOLEAN_OPERANDS),
    _truth("or", elementwise.logical_or, BOOLEAN_OPERANDS),
    _truth("not", elementwise.logical_not, BOOLEAN_OPERANDS),
    _truth("is_null", elementwise.is_null),
    Operator("when", elementwise.when, logical=frozenset({"condition"})),
    Operator("shift", rolling.shift, None),
    _number("pct_change", rolling.pct_change),
    _number("rolling_mean", rolling.rolling_mean),
    _number("rolling_sum", rolling.rolling_sum),
    _number("rolling_std", rolling.rolling_std),
    _number("rolling_min", rolling.rolling_min),
    _number("rolling_max", rolling.rolling_max),
    _number("rolling_median", rolling.rolling_median),
    _number("rolling_quantile", rolling.rolling_quantile),
    _number("rolling_zscore", rolling.rolling_zscore),
    _number("rolling_rank", rolling.rolling_rank),
    _number("rolling_corr", rolling.rolling_corr),
    _number("rolling_slope", rolling.rolling_slope),
    _number("ewm_mean", rolling.ewm_mean),
    _number("rank", cross_section.rank),
    _number("demean", cross_section.demean),
    _number("zscore", cross_section.zscore),
    _number("neutralize", cross_section.neutralize),
    _number("long_only", cross_section.long_only),
    _number("long_short", cross_section.long_short),
)

OPERATORS: Final[Mapping[str, Operator]] = {operator.name: operator for operator in _ALL}
