"""Panels of made-up bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from qmtl_sdk.data.panel import Panel

DAY_S = 86_400
NS = 10**9

MakePanel = Callable[..., Panel]


@pytest.fixture
def make_panel() -> MakePanel:
    """Make a panel from columns [T] or [T, S]; closes are a day apart unless given in seconds."""

    def make(
        columns: Mapping[str, NDArray[np.float64] | Sequence[float]],
        *,
        symbols: Sequence[str] = (),
        closes_s: Sequence[int] | None = None,
        interval_s: int = DAY_S,
    ) -> Panel:
        arrays = {name: _column(values) for name, values in columns.items()}
        bars, width = next(iter(arrays.values())).shape
        seconds = range(0, bars * interval_s, interval_s) if closes_s is None else closes_s
        names = tuple(symbols) or tuple(f"S{index}" for index in range(width))
        return Panel(np.array(seconds, dtype=np.int64) * NS, names, arrays, interval_s)

    return make


def _column(values: NDArray[np.float64] | Sequence[float]) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    column = np.ascontiguousarray(array.reshape(len(array), -1))
    column.flags.writeable = False
    return column
