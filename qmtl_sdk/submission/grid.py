"""The cells of a sweep: the product of the values that its parameters take, made one at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_sdk.strategy.parameters import Parameter, check_names
from qmtl_sdk.strategy.strategy import Strategy

MAX_CELLS: Final = 100_000


def cells_of(strategy: type[Strategy], grid: Mapping[str, Sequence[Parameter]]) -> Iterator[dict[str, Parameter]]:
    """Return the cells of a grid in its order, the last parameter fastest; NumPy's scalars become Python's.

    Raises QmtlError before any is made: INVALID_STRATEGY for what is no strategy class; INVALID_FIELD for a grid
    without parameters or cells, of more than MAX_CELLS, of names that are not the strategy's, or with anything but a
    list of values.
    """
    if not isinstance(strategy, type) or not issubclass(strategy, Strategy):
        raise QmtlError(Reason.INVALID_STRATEGY, f"{strategy!r} is no strategy class; give the class itself")
    if not isinstance(grid, Mapping):
        raise invalid_field("grid", f"{grid!r} is no mapping; write such as {{'fast': [5, 10]}}")
    if not grid:
        raise invalid_field("grid", "names no parameter; write such as {'fast': [5, 10]}")
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Collection):
            raise invalid_field(f"grid.{name}", f"{values!r} is no list of values; write such as [{values!r}]")
    count = math.prod(len(values) for values in grid.values())
    if not 0 < count <= MAX_CELLS:
        raise invalid_field("grid", f"makes {count} cells; give 1 to {MAX_CELLS}")
    check_names(strategy, Strategy, grid)
    return (dict(zip(grid, map(_plain, values), strict=True)) for values in itertools.product(*grid.values()))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
