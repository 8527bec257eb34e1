from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import Json
from qmtl_sdk.data.preset import WorldDataPreset
from qmtl_sdk.data.provider import resolve_provider
from qmtl_sdk.data.report import Delivery

CsvPreset = Callable[..., WorldDataPreset]

HOURLY: dict[str, Json] = {"symbols": ["A"], "interval": "1h", "calendar": "24/7"}


def read(preset: WorldDataPreset, folder: Path) -> Delivery:
    return resolve_provider(preset, folder / "cache").read()


def refused(preset: WorldDataPreset, folder: Path) -> QmtlError:
    with pytest.raises(QmtlError) as caught:
        read(preset, folder)
    return caught.value


def stamps(delivery: Delivery) -> list[str]:
    return [str(np.datetime64(int(close), "ns"))[:16] for close in delivery.panel.timestamps]


def test_mapped_columns_and_own_time_format(csv_preset: CsvPreset, tmp_path: Path) -> None:
    text = "Ticker,Day,Last\nA,2/1/2004,1.5\nA,5/1/2004,2.5\n"
    columns = {"time": "Day", "symbol": "Ticker", "close": "Last"}
    preset = csv_preset(text, {"columns": columns, "time_format": "%d/%m/%Y"}, symbols=["A"])
    delivery = read(preset, tmp_path)
    assert stamps(delivery) == ["2004-01-02T21:00", "2004-01-05T21:00"]
    assert delivery.panel.columns["close"][:, 0].tolist() == [1.5, 2.5]


def test_rows_of_other_symbols_are_left_out_unread(csv_preset: CsvPreset, tmp_path: Path) -> None:
    text = "time,symbol,close\n2004-01-02,A,1\n2004-01-02,X,rubbish\n2004-01-02,B,2\n"
    assert read(csv_preset(text), tmp_path).panel.columns["close"].tolist() == [[1.0, 2.0]]


def test_empty_cell_is_null(csv_preset: CsvPreset, tmp_path: Path) -> None:
    text = "time,symbol,close\n2004-01-02,A,1\n2004-01-02,B,5\n2004-01-05,A,\n2004-01-05,B,6\n"
    close = read(csv_preset(text), tmp_path).panel.columns["close"]
    np.testing.assert_array_equal(close, [[1.0, 5.0], [np.nan, 6.0]])


@pytest.mark.parametrize(
    ("text", "row", "part"),
    [
        ("2004-01-05,A,1\n2004-01-02,A,2", "2", "goes back after row 1; sort the rows by time"),
        ("2004-01-02,A,1\n2004-01-02,B,1\n2004-01-02,A,2", "3", "repeats after row 1; remove one of the rows"),
        ("2004-01-02,A,1\n2004-01-05,A,one", "2", "(A): one in column 'close' (close) is no number"),
        ("2004-01-02,A,1\n5 Jan 2004,A,2", "2", "source.time_format"),
        ("2004-01-02,A,1\n,A,2", "2", "is no time that can be read"),
    ],
)
def test_bad_row_is_named(csv_preset: CsvPreset, tmp_path: Path, text: str, row: str, part: str) -> None:
    error = refused(csv_preset(f"time,symbol,close\n{text}\n"), tmp_path)
    assert error.reason is Reason.DATA_INVALID
    assert error.metadata["row"] == row
    assert part in error.message


def test_missing_column_names_those_there_are(csv_preset: CsvPreset, tmp_path: Path) -> None:
    error = refused(csv_preset("time,symbol,last\n2004-01-02,A,1\n"), tmp_path)
    assert error.message.endswith("source.columns.close = one of time, symbol, last")


def test_missing_column_that_bars_can_do_without_may_be_left_out(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset("time,symbol,close\n2004-01-02,A,1\n", schema={"columns": ["open", "close"]})
    mend = (
        "source.columns.open = one of time, symbol, close; or, where the data has none, leave it out of schema.columns"
    )
    assert refused(preset, tmp_path).message.endswith(mend)


@pytest.mark.parametrize(
    ("text", "symbols"), [("time,symbol,close\n", "A,B"), ("time,symbol,close\n2004-01-02,A,1\n2004-01-02,B,\n", "B")]
)
def test_symbol_without_history_is_refused(csv_preset: CsvPreset, tmp_path: Path, text: str, symbols: str) -> None:
    error = refused(csv_preset(text), tmp_path)
    assert error.reason is Reason.DATA_UNAVAILABLE
    assert error.metadata["symbols"] == symbols


def test_empty_file_is_refused(csv_preset: CsvPreset, tmp_path: Path) -> None:
    assert "bars.csv is no readable csv file" in refused(csv_preset(""), tmp_path).message


def test_bars_that_all_miss_the_calendar_say_so(csv_preset: CsvPreset, tmp_path: Path) -> None:
    # Bars of NYSE begin with the session, at half past the hour; these begin on the hour.
    text = "time,close\n2004-01-02T10:00,1\n2004-01-02T11:00,2\n"
    source: dict[str, Json] = {"timezone": "America/New_York", "time_means": "open"}
    message = refused(csv_preset(text, source, symbols=["A"], interval="1h"), tmp_path).message
    assert "off_calendar in time (2 rows, first row 1: A at 2004-01-02T15:00:00Z)" in message


def test_missing_file_is_named(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset("", {"uri": str(tmp_path / "nowhere" / "bars.csv")})
    error = refused(preset, tmp_path)
    assert error.reason is Reason.DATA_UNAVAILABLE
    assert "nowhere" in error.message


def test_local_times_become_utc_across_a_clock_change(csv_preset: CsvPreset, tmp_path: Path) -> None:
    # New York put its clocks forward on 2004-04-04 at 02:00: 03:00 came right after 01:59.
    text = "time,close\n2004-04-04 01:00,1\n2004-04-04 03:00,2\n2004-04-04 04:00:00,3\n"
    preset = csv_preset(text, {"timezone": "America/New_York", "time_means": "close"}, **HOURLY)
    assert stamps(read(preset, tmp_path)) == ["2004-04-04T06:00", "2004-04-04T07:00", "2004-04-04T08:00"]


@pytest.mark.parametrize(
    ("time", "part"),
    [
        ("2004-04-04T02:30", "does not exist in America/New_York: the clock was put forward"),
        ("2004-10-31T01:30", "is twice in America/New_York: the clock was put back"),
    ],
)
def test_time_that_the_clock_change_makes_unclear_is_refused(
    csv_preset: CsvPreset, tmp_path: Path, time: str, part: str
) -> None:
    text = f"time,close\n2004-04-01T00:00,1\n{time},2\n"
    error = refused(csv_preset(text, {"timezone": "America/New_York", "time_means": "close"}, **HOURLY), tmp_path)
    assert error.metadata["row"] == "2"
    assert part in error.message


def test_stated_offsets_need_no_time_zone(csv_preset: CsvPreset, tmp_path: Path) -> None:
    text = "time,close\n2004-10-31T01:00:00-04:00,1\n2004-10-31T01:00:00-05:00,2\n2004-10-31 07:00:00Z,3\n"
    preset = csv_preset(text, {"timezone": "America/New_York", "time_means": "close"}, **HOURLY)
    assert stamps(read(preset, tmp_path)) == ["2004-10-31T05:00", "2004-10-31T06:00", "2004-10-31T07:00"]


def test_bars_stated_by_their_open_are_stamped_at_their_close(csv_preset: CsvPreset, tmp_path: Path) -> None:
    # The last hour of NYSE is half an hour: 15:30 to 16:00.
    text = "time,close\n2004-01-02T14:30,1\n2004-01-02T15:30,2\n"
    source: dict[str, Json] = {"timezone": "America/New_York", "time_means": "open"}
    preset = csv_preset(text, source, symbols=["A"], interval="1h")
    assert stamps(read(preset, tmp_path)) == ["2004-01-02T20:30", "2004-01-02T21:00"]


def test_one_file_per_symbol(csv_preset: CsvPreset, tmp_path: Path) -> None:
    for number, name in enumerate("AB"):
        (tmp_path / f"daily-{name}.csv").write_text(f"time,close\n2004-01-02,{number + 1}\n")
    preset = csv_preset("", {"uri": str(tmp_path / "daily-{symbol}.csv")})
    assert read(preset, tmp_path).panel.columns["close"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("kind", ["date", "midnight in Tokyo", "midnight in Tokyo, in UTC"])
def test_parquet_folder_with_session_dates(csv_preset: CsvPreset, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    dates = pl.Series("time", ["2004-01-05", "2004-01-06"]).str.to_date()
    if kind != "date":
        dates = dates.cast(pl.Datetime("us")).dt.replace_time_zone("Asia/Tokyo")
    if kind.endswith("UTC"):
        dates = dates.dt.convert_time_zone("UTC")
    for number in range(2):
        frame = pl.DataFrame({"time": dates[number : number + 1], "symbol": ["A"], "close": [number + 1]})
        frame.write_parquet(folder / f"{number}.parquet")
    source: dict[str, Json] = {"kind": "parquet", "uri": f"{folder}/", "timezone": "Asia/Tokyo"}
    preset = csv_preset("", source, symbols=["A"], calendar="XTKS")
    delivery = read(preset, tmp_path)
    assert stamps(delivery) == ["2004-01-05T06:00", "2004-01-06T06:00"]
    assert delivery.panel.columns["close"][:, 0].tolist() == [1.0, 2.0]


def test_parquet_times_of_another_type_are_refused(csv_preset: CsvPreset, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"time": [1], "close": [1.0]}).write_parquet(path)
    preset = csv_preset("", {"kind": "parquet", "uri": path.as_uri()}, symbols=["A"])
    assert "store times as Date or Datetime" in refused(preset, tmp_path).message


def test_unreadable_parquet_is_named(csv_preset: CsvPreset, tmp_path: Path) -> None:
    preset = csv_preset("not parquet", {"kind": "parquet"}, symbols=["A"])
    assert "bars.csv is no readable parquet file" in refused(preset, tmp_path).message


def test_adjusting_by_the_files_adjusted_close(csv_preset: CsvPreset, tmp_path: Path) -> None:
    text = "time,open,high,low,close,volume,adj_close\n2004-01-02,10,12,9,11,100,5.5\n2004-01-05,20,24,18,22,100,22\n"
    schema: Json = {"columns": ["open", "high", "low", "close", "volume"]}
    preset = csv_preset(text, symbols=["A"], adjustments="split_dividend", schema=schema)
    columns = read(preset, tmp_path).panel.columns
    first = {name: values[0, 0] for name, values in columns.items()}
    assert first == {"open": 5.0, "high": 6.0, "low": 4.5, "close": 5.5, "volume": 100.0}
    assert columns["close"][1, 0] == 22.0
