"""The submitted series: decode returns, targets and round trips from Arrow IPC streams, check them, hash them.

Columns, in any order; a client cannot state a metric, only these:

- returns: ``ts`` timestamp[ns, UTC] (the bar's close, ascending), ``return`` float64 (simple, at least -1)
- targets: ``ts``, ``symbol`` string, ``weight`` float64 (of the strategy's capital, from this bar until the next
  change; null: hold), only where a target changes, by ts
- trades: ``symbol``, ``entry_ts``, ``exit_ts``, ``size``, ``entry_price``, ``exit_price``, ``fees``, ``pnl``,
  ``return`` float64, ``open`` bool (not closed at the end of the data)
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason
from qmtl_foundation.identity import SERIES_CONTEXT, Json, bytes_id, content_id
from qmtl_foundation.statistics.positions import RoundTrips
from qmtl_world.evaluation.arrow_bounds import StreamRefusedError, measure_stream
from qmtl_world.evaluation.model import ReturnSeries

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STREAM_BYTES: Final = 256 * 1024 * 1024  # encoded, and again decoded
MAX_RETURN_ROWS: Final = 5_000_000
MAX_TARGET_ROWS: Final = 10_000_000
MAX_TRADE_ROWS: Final = 2_000_000
MAX_TARGET_CELLS: Final = 20_000_000  # bars x symbols, as a dense array for the statistics
MAX_RETURN: Final = 1e6  # a simple return beyond it is a fault of units or prices
MAX_WEIGHT: Final = 1e3
MAX_SYMBOL: Final = 64

NULLABLE: Final = ("targets", "weight")

_TS: Final = pl.Datetime("ns", "UTC")
_RETURNS: Final[Mapping[str, Any]] = {"ts": _TS, "return": pl.Float64}
_TARGETS: Final[Mapping[str, Any]] = {"ts": _TS, "symbol": pl.String, "weight": pl.Float64}
_TRADES: Final[Mapping[str, Any]] = {
    "symbol": pl.String,
    "entry_ts": _TS,
    "exit_ts": _TS,
    "size": pl.Float64,
    "entry_price": pl.Float64,
    "exit_price": pl.Float64,
    "fees": pl.Float64,
    "pnl": pl.Float64,
    "return": pl.Float64,
    "open": pl.Boolean,
}


@dataclass(frozen=True, slots=True, eq=False)
class Submission:
    """Hold what a strategy submitted, checked.

    ``targets``: float64 [bars, symbols], NaN holds, None for returns alone. ``trades``: bars instead of times.
    """

    returns: ReturnSeries
    targets: NDArray[np.float64] | None
    trades: RoundTrips | None
    returns_hash: str
    series_hash: str


def decode_submission(returns: bytes, targets: bytes, trades: bytes) -> Submission:
    """Return what three Arrow IPC streams hold; empty bytes are no targets, no trades.

    The hash is of the values: batches, compression, the order of columns and the sign of 0 do not matter. Raises
    QmtlError INVALID_SERIES naming the field, and the row (from 0) and its time where one is at fault.
    """
    frames = {"returns": _read("returns", returns, _RETURNS, MAX_RETURN_ROWS)}
    if targets:
        frames["targets"] = _read("targets", targets, _TARGETS, MAX_TARGET_ROWS)
    if trades:
        frames["trades"] = _read("trades", trades, _TRADES, MAX_TRADE_ROWS)
    series = _check_returns(frames["returns"])
    hashes: dict[str, Json] = {name: _frame_hash(frame) for name, frame in frames.items()}
    return Submission(
        returns=series,
        targets=_check_targets(frames["targets"], series.ts) if targets else None,
        trades=_check_trades(frames["trades"], series.ts) if trades else None,
        returns_hash=str(hashes["returns"]),
        series_hash=content_id(SERIES_CONTEXT, hashes),
    )


def _check_returns(frame: pl.DataFrame) -> ReturnSeries:
    if frame.is_empty():
        raise _refused("returns", "empty; submit at least one bar")
    ts, ret = _times(frame, "ts"), frame["return"].to_numpy()
    _check_rows("returns.ts", _with_first(ts[1:] == ts[:-1]), ts, ts, "is stated twice; keep one")
    _check_rows("returns.ts", _with_first(ts[1:] < ts[:-1]), ts, ts, "is before the row above; sort by ts")
    _check_rows("returns.return", ~np.isfinite(ret), ret, ts, "must be finite; drop the bar or repair its price")
    _check_rows("returns.return", ret < -1.0, ret, ts, "loses more than all; a simple return is at least -1")
    _check_rows("returns.return", ret > MAX_RETURN, ret, ts, f"is beyond {MAX_RETURN:g}; returns are fractions")
    return ReturnSeries(ts, ret)


def _check_targets(frame: pl.DataFrame, bars: NDArray[np.int64]) -> NDArray[np.float64]:
    ts, weight = _times(frame, "ts"), frame["weight"].to_numpy()
    rows = _bars_of("targets.ts", ts, ts, bars)
    _check_rows("targets.ts", _with_first(ts[1:] < ts[:-1])[: ts.size], ts, ts, "is before the row above; sort by ts")
    names = frame["symbol"].to_list()
    unfit = np.array([not (0 < len(name) <= MAX_SYMBOL and name.isprintable()) for name in names], dtype=bool)
    _check_rows("targets.symbol", unfit, frame["symbol"], ts, f"is no name of 1 to {MAX_SYMBOL} printable characters")
    stated = frame["weight"].is_not_null().to_numpy()
    faulty = stated & ~np.isfinite(weight)
    _check_rows("targets.weight", faulty, weight, ts, "must be finite; write null, or no row, to hold")
    _check_rows("targets.weight", np.abs(weight) > MAX_WEIGHT, weight, ts, f"is beyond {MAX_WEIGHT:g}")
    repeated = frame.select(pl.struct("ts", "symbol").is_first_distinct().not_()).to_series().to_numpy()
    _check_rows("targets.symbol", repeated, frame["symbol"], ts, "has two weights at one time; keep one")
    symbols = frame["symbol"].unique().sort()
    if bars.size * len(symbols) > MAX_TARGET_CELLS:
        size = f"{bars.size} bars of {len(symbols)} symbols, at most {MAX_TARGET_CELLS} cells"
        raise _refused("targets", f"{size}; use a longer interval or fewer symbols")
    dense = np.full((bars.size, len(symbols)), np.nan)
    dense[rows, symbols.search_sorted(frame["symbol"]).to_numpy()] = weight
    return dense


def _check_trades(frame: pl.DataFrame, bars: NDArray[np.int64]) -> RoundTrips:
    entry, leave = _times(frame, "entry_ts"), _times(frame, "exit_ts")
    for name in ("size", "entry_price", "exit_price", "fees", "pnl", "return"):
        values = frame[name].to_numpy()
        _check_rows(f"trades.{name}", ~np.isfinite(values), values, entry, "must be finite")
    _check_rows("trades.exit_ts", leave < entry, leave, entry, "is before its entry_ts")
    entry_bar = _bars_of("trades.entry_ts", entry, entry, bars)
    exit_bar = _bars_of("trades.exit_ts", leave, entry, bars)
    return RoundTrips(entry_bar, exit_bar, frame["pnl"].to_numpy(), frame["open"].to_numpy())


def _read(name: str, content: bytes, schema: Mapping[str, Any], max_rows: int) -> pl.DataFrame:
    """Return a stream's frame with the columns of a schema, in its order."""
    if len(content) > MAX_STREAM_BYTES:
        raise _refused(name, f"{len(content)} bytes, at most {MAX_STREAM_BYTES}; use a longer interval")
    try:
        measure_stream(content, max_rows, MAX_STREAM_BYTES)
        frame = pl.read_ipc_stream(io.BytesIO(content)).rechunk()
    except StreamRefusedError as error:
        raise _refused(name, str(error)) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise _refused(name, "is no Arrow IPC stream; write one with Polars' write_ipc_stream") from None
    if dict(frame.schema) != dict(schema):
        _refuse_schema(name, frame, schema)
    for column in frame.get_columns():
        if column.null_count() and (name, column.name) != NULLABLE:
            row = int(column.is_null().arg_max() or 0)
            raise _refused(f"{name}.{column.name}", f"row {row}: null; leave the row out", row)
    return frame.select(list(schema))


def _refuse_schema(name: str, frame: pl.DataFrame, schema: Mapping[str, Any]) -> None:
    wanted = ", ".join(f"{column} {kind}" for column, kind in pl.Schema(schema).items())
    given = ", ".join(f"{column} {kind}" for column, kind in list(frame.schema.items())[:20])
    raise _refused(name, f"has the columns ({given[:300]}), needs ({wanted})")


def _times(frame: pl.DataFrame, name: str) -> NDArray[np.int64]:
    return frame[name].to_physical().to_numpy()


def _with_first(later: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what was found of each row after the first as of all rows; nothing stands above the first."""
    return np.concatenate((np.zeros(1, dtype=np.bool_), later))


def _check_rows(field: str, faulty: NDArray[np.bool_], values: Any, ts: NDArray[np.int64], reason: str) -> None:
    """Refuse the first faulty row, naming its number (from 0), its time and its value."""
    if not faulty.any():
        return
    row = int(faulty.argmax())
    time = _rfc3339(int(ts[row]))
    value = _rfc3339(int(values[row])) if values.dtype == np.int64 else values[row]
    rows = int(faulty.sum())
    raise _refused(
        field, f"row {row} ({time}): {value} {reason}" + (f"; {rows} rows do" if rows > 1 else ""), row, time
    )


def _bars_of(field: str, ts: NDArray[np.int64], times: NDArray[np.int64], bars: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bar [n] at which each time stands; refuse a time at which no bar of the returns closes."""
    found = np.minimum(np.searchsorted(bars, ts), bars.size - 1)
    _check_rows(field, bars[found] != ts, ts, times, "is no bar of the returns; state the close of one")
    return found


def _rfc3339(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}Z" if rest else f"{text}Z"


def _frame_hash(frame: pl.DataFrame) -> str:
    """Return the hash of a frame's values: rows, then each column's little-endian bytes, or its lengths and texts."""
    parts: list[Json] = [frame.height]
    for column in frame.get_columns():
        if column.dtype == pl.String:
            parts += [_bytes_hash(column.str.len_bytes()), bytes_id(SERIES_CONTEXT, "".join(column).encode())]
            continue
        if column.null_count():
            parts.append(_bytes_hash(column.is_null()))
            column = column.fill_null(0.0)
        parts.append(_bytes_hash(column.to_physical()))
    return content_id(SERIES_CONTEXT, parts)


def _bytes_hash(column: pl.Series) -> str:
    values = column.to_numpy()
    if values.dtype == np.float64:
        values = values + 0.0  # -0.0 + 0.0 is 0.0
    return bytes_id(SERIES_CONTEXT, values.astype(values.dtype.newbyteorder("<")).tobytes())


def _refused(field: str, reason: str, row: int | None = None, ts: str = "") -> QmtlError:
    metadata = {"field": field} | ({} if row is None else {"row": str(row)}) | ({"ts": ts} if ts else {})
    return QmtlError(
        Reason.INVALID_SERIES,
        f"{field}: {reason}",
        metadata=metadata,
        violations=(FieldViolation(field, reason),),
    )
