"""Rows and partitions as Polars frames: reading files of bars, and the Parquet form of a partition.

Imported only when something is read from or written to files, for Polars takes longer to import than a warm read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.files import SourceFile
from qmtl_sdk.data.partitions import Partition
from qmtl_sdk.data.preset import BAR_COLUMNS, CsvSource, ParquetSource, TimeMeans, WorldDataPreset
from qmtl_sdk.data.sessions import BarGrid
from qmtl_sdk.data.source import SourceRows, Wanted

# Names of the frame while it is read; no column of a schema can be called so.
_ROW: Final = "#row"
_SYMBOL: Final = "#symbol"
_GRID: Final = ("opens", "closes", "sessions")
_UTC_OFFSET: Final = r"[Tt ].*(Z|[+-]\d{2}:?\d{2})$"
_NO_SECONDS: Final = r"^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2})$"


def sample_rows(preset: WorldDataPreset, content: bytes) -> SourceRows:
    """Return the rows of a sample data set (columns: its README)."""
    everything = pl.read_parquet(io.BytesIO(content)).with_row_index(_ROW, offset=1)
    sessions = everything.select("session", "opens", "closes").unique().sort("closes")
    grid = BarGrid(_nanoseconds(sessions["opens"]), _nanoseconds(sessions["closes"]), _nanoseconds(sessions["session"]))
    rows = everything.filter(pl.col("symbol").is_in(list(preset.symbols)))
    columns = {name: rows[name].cast(pl.Float64).to_numpy() for name in preset.source_columns if name in rows.columns}
    symbols = _symbol_index(preset.symbols, rows["symbol"])
    numbers = rows[_ROW].cast(pl.Int64).to_numpy()
    return SourceRows(_nanoseconds(rows["closes"]), symbols, columns, numbers, TimeMeans.CLOSE, grid)


def file_rows(wanted: Wanted, source: ParquetSource | CsvSource, files: Sequence[SourceFile]) -> SourceRows:
    """Return the rows of files, each time read in the source's time zone.

    Raises QmtlError DATA_INVALID naming file and row for a missing column, a number or time that cannot be read, and
    a local time that the clock change skipped or repeated.
    """
    parts = []
    offset = 1
    for file in files:
        frame = _parsed(file, source).with_row_index(_ROW, offset=offset)
        offset += frame.height
        parts.append(_file_part(wanted, source, file, frame))
    return SourceRows(
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.symbols for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in wanted.columns},
        np.concatenate([part.rows for part in parts]),
        source.time_means,
    )


def partition_parquet(partition: Partition) -> bytes:
    """Return a partition as Parquet: a row per bar and symbol, in the order of time and then of symbols."""
    bars, symbols = len(partition.grid), len(partition.symbols)
    grid = {name: np.repeat(getattr(partition.grid, name), symbols) for name in _GRID}
    names = pl.Series(list(partition.symbols) * bars, dtype=pl.Categorical)
    columns = {name: values.ravel() for name, values in partition.columns.items()}
    frame = pl.DataFrame({**grid, _SYMBOL: names, **columns})
    stamps = pl.col(*_GRID).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
    nulls = pl.col(*columns).fill_nan(None)
    buffer = io.BytesIO()
    frame.with_columns(stamps, nulls).rename({_SYMBOL: "symbol"}).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def parquet_partition(content: bytes, columns: Sequence[str]) -> Partition | None:
    """Return the partition of `partition_parquet`'s bytes, or None when they are none; the caller checks the hash."""
    try:
        frame = pl.read_parquet(io.BytesIO(content), columns=[*_GRID, "symbol", *columns])
        symbols = tuple(frame["symbol"].unique(maintain_order=True).cast(pl.String).to_list())
        panels = {n: frame[n].fill_null(float("nan")).to_numpy().reshape(-1, len(symbols)) for n in columns}
    except (pl.exceptions.PolarsError, ValueError):
        return None
    opens, closes, sessions = (np.ascontiguousarray(_nanoseconds(frame[name])[:: len(symbols)]) for name in _GRID)
    return Partition(BarGrid(opens, closes, sessions), symbols, panels)


def _parsed(file: SourceFile, source: ParquetSource | CsvSource) -> pl.DataFrame:
    try:
        if isinstance(source, CsvSource):
            return pl.read_csv(file.content, infer_schema=False)
        return pl.read_parquet(io.BytesIO(file.content))
    except pl.exceptions.PolarsError as error:
        cause = str(error).splitlines()[0]
        raise _invalid(f"{file.name} is no readable {source.kind} file ({cause})", "mend the file", file) from error


def _file_part(wanted: Wanted, source: ParquetSource | CsvSource, file: SourceFile, frame: pl.DataFrame) -> SourceRows:
    named = _with_symbol(wanted, source, file, frame)
    rows = named.filter(pl.col(_SYMBOL).is_in(list(wanted.symbols)))
    columns = {name: _float64(rows, name, _column(rows, source, name, file), file) for name in wanted.columns}
    times = _times(rows, source, _column(rows, source, "time", file), file)
    numbers = rows[_ROW].cast(pl.Int64).to_numpy()
    return SourceRows(times, _symbol_index(wanted.symbols, rows[_SYMBOL]), columns, numbers, source.time_means)


def _with_symbol(
    wanted: Wanted, source: ParquetSource | CsvSource, file: SourceFile, frame: pl.DataFrame
) -> pl.DataFrame:
    stated = source.columns.get("symbol", "symbol")
    if file.symbol is not None:
        return frame.with_columns(pl.lit(file.symbol).alias(_SYMBOL))
    if len(wanted.symbols) == 1 and "symbol" not in source.columns and stated not in frame.columns:
        return frame.with_columns(pl.lit(wanted.symbols[0]).alias(_SYMBOL))
    return frame.with_columns(pl.col(_column(frame, source, "symbol", file)).cast(pl.String).alias(_SYMBOL))


def _column(frame: pl.DataFrame, source: ParquetSource | CsvSource, name: str, file: SourceFile) -> str:
    theirs = source.columns.get(name, name)
    if theirs not in frame.columns:
        there = ", ".join(column for column in frame.columns if not column.startswith("#"))
        mend = f"map it: source.columns.{name} = one of {there}"
        if name in BAR_COLUMNS and name != "close":
            mend += "; or, where the data has none, leave it out of schema.columns"
        raise _invalid(f"{file.name} has no column {theirs!r} for {name!r}", mend, file)
    return theirs


def _symbol_index(known: Sequence[str], symbols: pl.Series) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(known)}
    return symbols.replace_strict(index, return_dtype=pl.Int64).to_numpy()


def _float64(frame: pl.DataFrame, name: str, theirs: str, file: SourceFile) -> NDArray[np.float64]:
    given = frame[theirs]
    text = given.str.strip_chars() if given.dtype == pl.String else given
    numbers = text.cast(pl.Float64, strict=False)
    mend = "correct it, or leave the cell empty for an unknown value"
    bad = numbers.is_null() & given.is_not_null()
    _refuse_first(frame, given, bad, f"in column {theirs!r} ({name}) is no number", mend, file)
    return numbers.fill_null(float("nan")).to_numpy()


def _times(frame: pl.DataFrame, source: ParquetSource | CsvSource, theirs: str, file: SourceFile) -> NDArray[np.int64]:
    """Return int64 [N], nanoseconds in UTC; of a session's date, its midnight in UTC."""
    given = frame[theirs]
    if given.dtype == pl.String:
        moments = _read_text(given, source)
    elif given.dtype == pl.Date and source.time_means is TimeMeans.PUBLISHED:
        raise _invalid(f"{file.name}: column {theirs!r} holds dates", "store when it was known as Datetime", file)
    elif given.dtype == pl.Date or isinstance(given.dtype, pl.Datetime):
        moments = given.cast(pl.Datetime("ns", getattr(given.dtype, "time_zone", None)))
    else:
        raise _invalid(f"{file.name}: column {theirs!r} is {given.dtype}", "store times as Date or Datetime", file)
    _refuse_first(frame, given, moments.is_null(), "is no time that can be read", _time_mend(source), file)
    if source.time_means is TimeMeans.SESSION:
        return _nanoseconds(_session_dates(moments, source.timezone))
    if getattr(moments.dtype, "time_zone", None) is not None:
        return _nanoseconds(moments)
    return _nanoseconds(_localised(frame, given, moments, source, file))


def _session_dates(moments: pl.Series, timezone: str) -> pl.Series:
    """Return the dates on the calendar of the place; a time stored in UTC is first brought to ``timezone``."""
    if getattr(moments.dtype, "time_zone", None) == "UTC":
        return moments.dt.convert_time_zone(timezone).dt.date()
    return moments.dt.date()


def _read_text(given: pl.Series, source: ParquetSource | CsvSource) -> pl.Series:
    text = given.str.strip_chars()
    stated = source.time_format if isinstance(source, CsvSource) else None
    if source.time_means is TimeMeans.SESSION:
        return text.str.to_date(stated or "%Y-%m-%d", strict=False).cast(pl.Datetime("ns"))
    if stated is not None:
        return text.str.to_datetime(stated, time_unit="ns", strict=False)
    iso = text.str.replace(" ", "T", literal=True)
    if text.str.contains(_UTC_OFFSET).any():
        return iso.str.to_datetime("%+", time_unit="ns", strict=False)
    seconds = iso.str.replace(_NO_SECONDS, "${1}:00")
    return seconds.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="ns", strict=False)


def _localised(
    frame: pl.DataFrame, given: pl.Series, moments: pl.Series, source: ParquetSource | CsvSource, file: SourceFile
) -> pl.Series:
    zone = source.timezone
    local = moments.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    mend = "state times with their UTC offset, or in UTC"
    _refuse_first(frame, given, local.is_null(), f"does not exist in {zone}: the clock was put forward", mend, file)
    later = moments.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    _refuse_first(frame, given, local != later, f"is twice in {zone}: the clock was put back", mend, file)
    return local


def _refuse_first(
    frame: pl.DataFrame, given: pl.Series, bad: pl.Series, what: str, mend: str, file: SourceFile
) -> None:
    if bad.any():
        at = int(bad.arg_true()[0])
        row, symbol, value = str(frame[_ROW][at]), str(frame[_SYMBOL][at]), str(given[at])
        message = f"{file.name} row {row} ({symbol}): {value} {what}; {mend}"
        metadata = {"file": file.name, "row": row, "symbol": symbol, "value": value}
        raise QmtlError(Reason.DATA_INVALID, message, metadata=metadata)


def _time_mend(source: ParquetSource | CsvSource) -> str:
    form = "a date such as 2013-03-01" if source.time_means is TimeMeans.SESSION else "2013-03-01T16:00:00"
    return f"write {form}, or state the form in source.time_format"


def _nanoseconds(moments: pl.Series) -> NDArray[np.int64]:
    return moments.cast(pl.Datetime("ns", getattr(moments.dtype, "time_zone", None))).to_physical().to_numpy()


def _invalid(what: str, mend: str, file: SourceFile) -> QmtlError:
    return QmtlError(Reason.DATA_INVALID, f"{what}; {mend}", metadata={"file": file.name})
