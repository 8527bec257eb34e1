"""Real prices: AAPL, GOOG, IBM, MSFT of the PyPI package bokeh_sampledata, ragged at the start (GOOG lists in 2004)."""

from __future__ import annotations

import bokeh_sampledata.stocks as sample
import numpy as np
import pytest

from qmtl_sdk.data.panel import Panel

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture(scope="session")
def stocks() -> Panel:
    """Return daily open and close over 3,270 sessions, adjusted by the adjusted close."""
    days = np.array(sample.IBM["date"], dtype="datetime64[ns]")
    columns = {name: np.full((len(days), len(SYMBOLS)), np.nan) for name in ("open", "close")}
    for s, symbol in enumerate(SYMBOLS):
        rows = getattr(sample, symbol)
        at = np.searchsorted(days, np.array(rows["date"], dtype="datetime64[ns]"))
        factor = np.array(rows["adj_close"]) / np.array(rows["close"])
        for name, column in columns.items():
            column[at, s] = np.array(rows[name]) * factor
    return Panel(days.astype(np.int64) + DAY_NS, SYMBOLS, columns, 86_400)
