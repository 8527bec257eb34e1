"""Streams to replay: the sample's days, and made-up hours with what was published beside them."""

from __future__ import annotations

import numpy as np
import pytest

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.preset import builtin_presets
from qmtl_sdk.data.provider import resolve_provider
from qmtl_sdk.data.sessions import bar_grid
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.data.times import parse_instant

HOUR = 3_600


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Streams:
    """Return 3,270 days of four symbols, one of them listed late."""
    preset = builtin_presets()["sample_us_equity_1d"]
    return resolve_provider(preset, tmp_path_factory.mktemp("cache")).read().streams


@pytest.fixture(scope="session")
def hours() -> Streams:
    """Return hourly bars over a change of the clocks, with gaps, and a score published on them."""
    grid = bar_grid("XNYS", HOUR, parse_instant("2013-02-01", "start"), parse_instant("2013-05-01", "end"))
    random = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(random.normal(scale=0.01, size=(len(grid), 3)), axis=0))
    close[random.uniform(size=close.shape) < 0.01] = np.nan
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": close * 1e3}
    score = random.normal(size=(len(grid), 2))
    mood = Panel(grid.closes, ("A", "C"), {"score": score}, HOUR)
    return Streams("hours", Panel(grid.closes, ("A", "B", "C"), columns, HOUR), grid, "XNYS", {"mood": mood})
