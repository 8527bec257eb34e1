"""Presets over small CSV files, as tests of the data layer need them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qmtl_foundation.identity import Json
from qmtl_sdk.data.preset import WorldDataPreset

CsvPreset = Callable[..., WorldDataPreset]


@pytest.fixture
def csv_preset(tmp_path: Path) -> CsvPreset:
    """Return a maker of presets over a CSV file with the given text; keywords replace fields of the preset."""

    def make(text: str, source: dict[str, Json] | None = None, **fields: Json) -> WorldDataPreset:
        path = tmp_path / "bars.csv"
        path.write_text(text)
        document: dict[str, Json] = {
            "name": "desk_bars",
            "source": {"kind": "csv", "uri": str(path), "time_means": "session", **(source or {})},
            "symbols": ["A", "B"],
            "interval": "1d",
            "start": "2003-01-01",
            "end": "2005-01-01",
            "calendar": "XNYS",
            "schema": {"columns": ["close"]},
        }
        return WorldDataPreset.parse({**document, **fields})

    return make
