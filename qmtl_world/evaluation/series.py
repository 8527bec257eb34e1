"""The submitted series: decode returns, targets and round trips from Arrow IPC streams, check them, hash them.

Columns, each without nulls; a client cannot state a metric, only these:

- returns: ``ts`` timestamp[ns, UTC] (the bar's close, ascending), ``ret`` float64 (simple, above or equal to -1)
- targets: ``ts``, ``symbol`` string, ``weight`` float64 (of the strategy's capital, from this bar until the next
  change), only where a weight changes, by ts
- trades: ``symbol``, ``entry_ts``, ``exit_ts``, ``side`` int8 (1 long, -1 short), ``size``, ``entry_price``,
  ``exit_price``, ``fees``, ``pnl`` float64, ``open`` bool (not closed at the end of the data)
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
from qmtl_world.evaluation.arrow_bounds import StreamRefusedError, measure_stream
from qmtl_world.evaluation.model import ReturnSeries

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STREAM_BYTES: Final = 256 * 1024 * 1024  # encoded, and again decoded
MAX_RETURN_ROWS: Final = 5_000_000
MAX_TARGET_ROWS: Final = 10_000_000
MAX_TRADE_ROWS: Final = 2_000_000
MAX_RETURN: Final = 1e6  # a simple return beyond it is a fault of units or prices
MAX_WEIGHT: Final = 1e3

_TS: Final = pl.Datetime("ns", "UTC")
_RETURNS: Final[Mapping[str, Any]] = {"ts": _TS, "ret": pl.Float64}
_TARGETS: Final[Mapping[str, Any]] = {"ts": _TS, "symbol": pl.String, "weight": pl.Float64}
_TRADES: Final[Mapping[str, Any]] = {
    "symbol": pl.String,
    "entry_ts": _TS,
    "exit_ts": _TS,
    "side": pl.Int8,
    "size": pl.Float64,
    "entry_price": pl.Float64,
    "exit_price": pl.Float64,
    "fees": pl.Float64,
    "pnl": pl.Float64,
    "open": pl.Boolean,
}


@dataclass(frozen=True, slots=True, eq=False)
class TargetChanges:
    """Hold changes of target weights, [n] each: ``ts`` int64 ns, ``symbol`` index into ``symbols``."""

    symbols: tuple[str, ...]
    ts: NDArray[np.int64]
    symbol: NDArray[np.int64]
    weight: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RoundTrips:
    """Hold round trips, [n] each: times int64 ns, ``pnl`` in money after fees, ``open`` where not closed yet."""

    entry_ts: NDArray[np.int64]
    exit_ts: NDArray[np.int64]
    pnl: NDArray[np.float64]
    open: NDArray[np.bool_]


def decode_returns(content: bytes) -> ReturnSeries:
    """Return the submitted returns, or raise QmtlError INVALID_SERIES naming field, row and time of the fault."""
    frame = _read("returns", content, _RETURNS, MAX_RETURN_ROWS)
    if frame.is_empty():
        raise _refused("returns", "empty; submit at least one bar")
    ts, ret = _times(frame, "ts"), frame["ret"].to_numpy()
    _check_order("returns.ts", ts)
    _check_rows("returns.ret", ~np.isfinite(ret), ret, ts, "must be finite; drop the bar or repair its price")
    _check_rows("returns.ret", ret < -1.0, ret, ts, "loses more than all; a simple return is at least -1")
    _check_rows("returns.ret", ret > MAX_RETURN, ret, ts, f"is beyond {MAX_RETURN:g}; returns are fractions")
    return ReturnSeries(ts, ret)


def decode_targets(content: bytes, bars: NDArray[np.int64]) -> TargetChanges:
    """Return the submitted target changes; each must stand on one of ``bars``, the ts of the returns.

    Raises QmtlError INVALID_SERIES naming field, row and time of the fault.
    """
    frame = _read("targets", content, _TARGETS, MAX_TARGET_ROWS)
    ts, weight = _times(frame, "ts"), frame["weight"].to_numpy()
    _check_rows("targets.ts", ~_is_among(ts, bars), ts, ts, "is no bar of the returns; state targets at bar closes")
    _check_rows("targets.ts", _with_first(ts[1:] < ts[:-1])[: ts.size], ts, ts, "is before the row above; sort by ts")
    _check_rows("targets.weight", ~np.isfinite(weight), weight, ts, "must be finite; leave the row out to hold")
    _check_rows("targets.weight", np.abs(weight) > MAX_WEIGHT, weight, ts, f"is beyond {MAX_WEIGHT:g}")
    repeated = frame.select(pl.struct("ts", "symbol").is_first_distinct().not_()).to_series().to_numpy()
    _check_rows("targets.symbol", repeated, frame["symbol"], ts, "has two weights at one time; keep one")
    names = frame["symbol"].unique().sort()
    symbol = names.search_sorted(frame["symbol"]).to_numpy().astype(np.int64)
    return TargetChanges(tuple(names), ts, symbol, weight)


def decode_trades(content: bytes) -> RoundTrips:
    """Return the submitted round trips, or raise QmtlError INVALID_SERIES naming field, row and time of the fault."""
    frame = _read("trades", content, _TRADES, MAX_TRADE_ROWS)
    entry, leave = _times(frame, "entry_ts"), _times(frame, "exit_ts")
    for name in ("size", "entry_price", "exit_price", "fees", "pnl"):
        values = frame[name].to_numpy()
        _check_rows(f"trades.{name}", ~np.isfinite(values), values, entry, "must be finite")
    side = frame["side"].to_numpy()
    _check_rows("trades.side", np.abs(side.astype(np.int64)) != 1, side, entry, "must be 1 (long) or -1 (short)")
    _check_rows("trades.exit_ts", leave < entry, leave, entry, "is before its entry_ts")
    return RoundTrips(entry, leave, frame["pnl"].to_numpy(), frame["open"].to_numpy())


def series_hash(returns: bytes, targets: bytes | None, trades: bytes | None) -> str:
    """Return the hash of submitted series by their values: batches, compression and the sign of 0 do not matter.

    Raises QmtlError INVALID_SERIES for a stream that is none.
    """
    parts: dict[str, Json] = {
        "returns": _frame_hash(_read("returns", returns, _RETURNS, MAX_RETURN_ROWS)),
        "targets": None if targets is None else _frame_hash(_read("targets", targets, _TARGETS, MAX_TARGET_ROWS)),
        "trades": None if trades is None else _frame_hash(_read("trades", trades, _TRADES, MAX_TRADE_ROWS)),
    }
    return content_id(SERIES_CONTEXT, parts)


def _read(name: str, content: bytes, schema: Mapping[str, Any], max_rows: int) -> pl.DataFrame:
    if len(content) > MAX_STREAM_BYTES:
        raise _refused(name, f"{len(content)} bytes, at most {MAX_STREAM_BYTES}; use a longer interval")
    try:
        measure_stream(content, max_rows, MAX_STREAM_BYTES)
        frame = pl.read_ipc_stream(io.BytesIO(content)).rechunk()
    except StreamRefusedError as error:
        raise _refused(name, str(error)) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise _refused(name, "is no Arrow IPC stream; write one with Polars' write_ipc_stream") from None
    if frame.schema != pl.Schema(schema):
        _refuse_schema(name, frame, schema)
    for column in frame.get_columns():
        if column.null_count():
            row = int(column.is_null().arg_max() or 0)
            raise _refused(f"{name}.{column.name}", f"row {row}: null; leave the row out")
    return frame


def _refuse_schema(name: str, frame: pl.DataFrame, schema: Mapping[str, Any]) -> None:
    wanted = ", ".join(f"{column} {kind}" for column, kind in pl.Schema(schema).items())
    given = ", ".join(f"{column} {kind}" for column, kind in list(frame.schema.items())[:20])
    raise _refused(name, f"has the columns ({given[:300]}), needs ({wanted})")


def _times(frame: pl.DataFrame, name: str) -> NDArray[np.int64]:
    return frame[name].to_physical().to_numpy()


def _check_order(field: str, ts: NDArray[np.int64]) -> None:
    _check_rows(field, _with_first(ts[1:] == ts[:-1]), ts, ts, "is stated twice; keep one")
    _check_rows(field, _with_first(ts[1:] < ts[:-1]), ts, ts, "is before the row above; sort by ts")


def _with_first(later: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what was found of each row after the first as of all rows; nothing stands above the first."""
    return np.concatenate((np.zeros(1, dtype=np.bool_), later))


def _check_rows(field: str, faulty: NDArray[np.bool_], values: Any, ts: NDArray[np.int64], reason: str) -> None:
    """Refuse the first faulty row, naming its number (from 0), its time and its value."""
    if not faulty.any():
        return
    row = int(faulty.argmax())
    time = _rfc3339(int(ts[row]))
    value = time if values is ts else values[row]
    rows = int(faulty.sum())
    raise _refused(
        field, f"row {row} ({time}): {value} {reason}" + (f"; {rows} rows do" if rows > 1 else ""), row, time
    )


def _is_among(ts: NDArray[np.int64], bars: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not ts.size:
        return np.zeros(0, dtype=np.bool_)
    found: NDArray[np.bool_] = bars[np.minimum(np.searchsorted(bars, ts), bars.size - 1)] == ts
    return found


def _rfc3339(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}Z" if rest else f"{text}Z"


def _frame_hash(frame: pl.DataFrame) -> str:
    """Return the hash of a frame's values: rows, then each column's little-endian bytes or its texts."""
    parts: list[Json] = [frame.height]
    for column in frame.get_columns():
        if column.dtype == pl.String:
            lengths = column.str.len_bytes().to_numpy().astype("<u8").tobytes()
            parts.append([bytes_id(SERIES_CONTEXT, lengths), bytes_id(SERIES_CONTEXT, "".join(column).encode())])
            continue
        values = column.to_physical().to_numpy()
        if column.dtype == pl.Float64:
            values = values + 0.0  # -0.0 + 0.0 is 0.0
        parts.append(
            bytes_id(SERIES_CONTEXT, np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
        )
    return content_id(SERIES_CONTEXT, parts)


def _refused(field: str, reason: str, row: int | None = None, ts: str = "") -> QmtlError:
    metadata = {"field": field} | ({} if row is None else {"row": str(row), "ts": ts})
    return QmtlError(
        Reason.INVALID_SERIES,
        f"{field}: {reason}",
        metadata=metadata,
        violations=(FieldViolation(field, reason),),
    )
