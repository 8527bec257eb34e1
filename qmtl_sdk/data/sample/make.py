"""Make the sample's Parquet files from the PyPI packages that carry the data: `python -m qmtl_sdk.data.sample.make`.

Needs the `dev` extra (bokeh-sampledata, arch). Provenance and licences: README.md beside this file.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

import polars as pl

from qmtl_sdk.data.preset import SampleDataset
from qmtl_sdk.data.sessions import BarGrid, bar_grid
from qmtl_sdk.data.times import DAY_NS, DAY_SECONDS, parse_instant

FOLDER: Final = Path(__file__).parent
STOCKS: Final = ("AAPL", "GOOG", "IBM", "MSFT")
INDEX: Final = "SPX"
CALENDAR: Final = "XNYS"


def sample_frame(dataset: SampleDataset) -> pl.DataFrame:
    """Return one data set as it is shipped: a row per session and symbol, prices as traded, and the adjusted close.

    Columns: session (Date), opens and closes (Datetime ns UTC, the session's by the exchange's calendar), symbol,
    open, high, low, close, adj_close (Float64), volume (Int64, shares).
    """
    rows = _stock_rows() if dataset is SampleDataset.US_EQUITY_1D else _index_rows()
    first, last = str(rows["session"].min()), str(rows["session"].max())
    grid = bar_grid(CALENDAR, DAY_SECONDS, parse_instant(first, "first"), parse_instant(last, "last") + DAY_NS)
    stamped = rows.join(_session_frame(grid), on="session", how="left", validate="m:1")
    if stamped["closes"].null_count():
        raise ValueError(f"{dataset}: a row's date is no session of {CALENDAR}")
    names = ("session", "opens", "closes", "symbol", "open", "high", "low", "close", "adj_close", "volume")
    return stamped.select(names).sort("session", "symbol")


def main() -> None:
    """Write both data sets beside this file."""
    for dataset in SampleDataset:
        sample_frame(dataset).write_parquet(FOLDER / f"{dataset}.parquet", compression="zstd", compression_level=19)


def _stock_rows() -> pl.DataFrame:
    stocks = importlib.import_module("bokeh_sampledata.stocks")
    frames = [pl.DataFrame(getattr(stocks, name)).with_columns(symbol=pl.lit(name)) for name in STOCKS]
    return pl.concat(frames).with_columns(session=pl.col("date").str.to_date("%Y-%m-%d"))


def _index_rows() -> pl.DataFrame:
    sp500 = importlib.import_module("arch.data.sp500").load()
    ours = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Adj Close": "adj_close"}
    columns = {name: sp500[theirs].to_numpy() for theirs, name in ours.items()}
    days = pl.Series("session", sp500.index.to_numpy().astype("datetime64[D]"))
    volume = sp500["Volume"].to_numpy()
    return pl.DataFrame({"session": days, **columns, "volume": volume}).with_columns(symbol=pl.lit(INDEX))


def _session_frame(grid: BarGrid) -> pl.DataFrame:
    nanoseconds = pl.DataFrame({"session": grid.sessions, "opens": grid.opens, "closes": grid.closes})
    stamps = pl.col("opens", "closes").cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
    return nanoseconds.with_columns(pl.col("session").cast(pl.Datetime("ns")).cast(pl.Date), stamps)


if __name__ == "__main__":
    main()
