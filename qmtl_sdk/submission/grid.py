"""The cells of a sweep: the product of the values that its parameters take, made one at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from qmtl_foundation.errors import invalid_field

if TYPE_CHECKING:
    from qmtl_sdk.strategy.parameters import Parameter

MAX_CELLS: Final = 100_000


def cells_of(grid: Mapping[str, Sequence[Parameter]]) -> Iterator[dict[str, Parameter]]:
    """Return the cells of a grid in its order, the last parameter fastest.

    Raises QmtlError INVALID_FIELD for a grid without parameters or cells, of more than MAX_CELLS, or with anything but
    a list of values, before any is made.
    """
    if not grid:
        raise invalid_field("grid", "names no parameter; write such as {'fast': [5, 10]}")
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Collection):
            raise invalid_field(f"grid.{name}", f"{values!r} is no list of values; write such as [{values!r}]")
    count = math.prod(len(values) for values in grid.values())
    if not 0 < count <= MAX_CELLS:
        raise invalid_field("grid", f"makes {count} cells; give 1 to {MAX_CELLS}")
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
