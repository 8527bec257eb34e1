from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.identity import Json
from qmtl_sdk.data.preset import SampleDataset, WorldDataPreset, builtin_presets
from qmtl_sdk.data.provider import resolve_provider
from qmtl_sdk.data.sample.make import FOLDER, sample_frame

WARM_READ = """
import json, sys
from pathlib import Path
from qmtl_sdk.data.preset import builtin_presets
from qmtl_sdk.data.provider import resolve_provider
from qmtl_sdk.data.results import ResultCache
imported = sorted({"polars", "pandas", "exchange_calendars", "obstore"} & set(sys.modules))
delivery = resolve_provider(builtin_presets()["sample_us_equity_1d"], Path(sys.argv[1])).read()
loaded = sorted({"polars", "pandas", "exchange_calendars", "obstore"} & set(sys.modules))
print(json.dumps([imported, loaded, str(delivery.report.served_from), delivery.report.fingerprint]))
"""


@pytest.mark.parametrize("dataset", SampleDataset)
def test_shipped_files_are_what_the_generator_makes(dataset: SampleDataset) -> None:
    assert_frame_equal(pl.read_parquet(FOLDER / f"{dataset}.parquet"), sample_frame(dataset), check_exact=True)


@pytest.mark.parametrize("name", sorted(builtin_presets()))
def test_preset_delivers_every_session_and_keeps_its_promises(tmp_path: Path, name: str) -> None:
    report = resolve_provider(builtin_presets()[name], tmp_path).read().report
    assert (report.gaps, report.violations, report.sla_breaches) == ((), (), ())
    assert report.coverage_fraction == 1.0
    assert report.bars_per_year == 252


def test_adjusted_bars_equal_the_adjusted_close_of_the_source(tmp_path: Path) -> None:
    panel = resolve_provider(builtin_presets()["sample_us_equity_1d"], tmp_path).read().panel
    packed = (resources.files("bokeh_sampledata") / "_data" / "stocks.csv.gz").read_bytes()
    rows = [row for row in csv.DictReader(gzip.decompress(packed).decode().splitlines()) if row["Ticker"] == "AAPL"]
    aapl = panel.symbols.index("AAPL")
    np.testing.assert_allclose(panel.columns["close"][:, aapl], [float(r["Adj Close"]) for r in rows], rtol=1e-15)
    scaled = [float(r["Open"]) * float(r["Adj Close"]) / float(r["Close"]) for r in rows]
    np.testing.assert_allclose(panel.columns["open"][:, aapl], scaled, rtol=1e-14)
    np.testing.assert_array_equal(panel.columns["volume"][:, aapl], [float(r["Volume"]) for r in rows])


def test_adjusting_keeps_open_and_close_between_low_and_high(tmp_path: Path) -> None:
    columns = resolve_provider(builtin_presets()["sample_us_equity_1d"], tmp_path).read().panel.columns
    listed = np.isfinite(columns["close"])
    for name in ("open", "close"):
        assert (columns[name] <= columns["high"])[listed].all()
        assert (columns[name] >= columns["low"])[listed].all()


def test_google_is_null_before_its_listing(tmp_path: Path) -> None:
    panel = resolve_provider(builtin_presets()["sample_us_equity_1d"], tmp_path).read().panel
    close = panel.columns["close"][:, panel.symbols.index("GOOG")]
    first = int(np.flatnonzero(np.isfinite(close))[0])
    assert str(np.datetime64(int(panel.timestamps[first]), "ns"))[:16] == "2004-08-19T20:00"
    assert len(panel.timestamps) == 3_270
    assert np.isfinite(close[first:]).all()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"symbols": ["TSLA"]}, "history of TSLA is empty"),
        ({"schema": {"columns": ["close", "vwap"]}}, "no column 'vwap'"),
    ],
)
def test_what_the_sample_lacks_is_named(tmp_path: Path, change: dict[str, Json], part: str) -> None:
    document = json.loads(builtin_presets()["sample_us_equity_1d"].document())
    with pytest.raises(QmtlError, match=part):
        resolve_provider(WorldDataPreset.parse({**document, **change}), tmp_path).read()


def test_warm_read_imports_no_heavy_library(tmp_path: Path) -> None:
    cold = resolve_provider(builtin_presets()["sample_us_equity_1d"], tmp_path).read().report
    command = [sys.executable, "-c", WARM_READ, str(tmp_path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[4])
    assert json.loads(answer.stdout) == [[], [], "disk", cold.fingerprint]
