"""The series that a submission carries, as Arrow IPC streams: returns, changes of targets, round trips."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_sdk.backtest.trades import Trades
from qmtl_sdk.data.times import format_instant

if TYPE_CHECKING:
    import polars as pl

_EXPECTED: Final = "give a Polars frame with the columns ts (datetime, the bar's close in UTC) and return (simple)"


@dataclass(frozen=True, slots=True)
class Series:
    """Hold Arrow IPC streams; ``targets`` and ``trades`` are empty when only returns are submitted."""

    returns: bytes
    targets: bytes = b""
    trades: bytes = b""


def encode_returns(timestamps: NDArray[np.int64], returns: NDArray[np.float64]) -> bytes:
    """Return the stream of returns: ``ts`` (close, ns UTC) and ``return`` (simple, of the bar)."""
    import polars as pl

    return _stream(pl.DataFrame({"ts": _times(timestamps), "return": returns}))


def encode_targets(timestamps: NDArray[np.int64], symbols: tuple[str, ...], targets: NDArray[np.float64]) -> bytes:
    """Return the stream of changes of [T, S] targets; a null target holds the one before and is no change."""
    import polars as pl

    changed = np.zeros(targets.shape, dtype=bool)
    for column in range(targets.shape[1]):
        stated = np.flatnonzero(~np.isnan(targets[:, column]))
        values = targets[stated, column]
        changed[stated[np.concatenate(([True], values[1:] != values[:-1]))[: stated.size]], column] = True
    bar, symbol = np.nonzero(changed)
    names = np.asarray(symbols, dtype=object)[symbol].tolist()
    weights = targets[bar, symbol]
    return _stream(
        pl.DataFrame({"ts": _times(timestamps[bar]), "symbol": pl.Series(names, dtype=pl.String), "weight": weights})
    )


def encode_trades(trades: Trades) -> bytes:
    """Return the stream of round trips."""
    return _stream(trades.frame().drop("side").rename({"return_": "return"}))


def checked_returns(returns: Any, timestamps: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return times (ns UTC) and values of returns that an author states.

    A Polars frame with ``ts`` (datetime) and ``return``, or one number per bar of the world's data. A frame may begin
    late and end early, and states every bar between: a metric is annualised by the number of bars. Raises QmtlError
    INVALID_SERIES naming the row for what is not finite, unsorted, double, on no bar's close or behind bars left out,
    INVALID_FIELD for another shape.
    """
    import polars as pl

    if isinstance(returns, pl.DataFrame):
        times, values = _of_frame(returns)
    else:
        times, values = timestamps, _of_numbers(returns)
    if values.shape != times.shape or values.ndim != 1:
        expected = f"one return per bar of the world's data ({len(times)})"
        raise invalid_field("returns", f"must be a frame (ts, return) or {expected}, has shape {list(values.shape)}")
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        raise _bad(row, f"{values[row]} must be finite; state 0 where nothing was held, or repair its price")
    unsorted = np.flatnonzero(np.diff(times) <= 0)
    if unsorted.size:
        raise _bad(int(unsorted[0]) + 1, "is not after the row above; sort by ts and drop doubles")
    _check_on_bars(times, timestamps)
    return times, values


def _check_on_bars(times: NDArray[np.int64], closes: NDArray[np.int64]) -> None:
    """Raise QmtlError INVALID_SERIES for the first time that is no bar's close, or that follows bars left out."""
    after = np.searchsorted(closes, times).clip(0, len(closes) - 1)
    off = np.flatnonzero(closes[after] != times)
    if off.size:
        row = int(off[0])
        near = closes[max(after[row] - 1, 0) : after[row] + 1]
        nearest = format_instant(int(near[np.argmin(np.abs(near - times[row]))]))
        stated = format_instant(int(times[row]))
        raise _bad(row, f"ts {stated} is no bar's close, the nearest is {nearest}; state bars of the world's data")
    behind = np.flatnonzero(np.diff(after) != 1)
    if behind.size:
        row = int(behind[0]) + 1
        left_out, stated = int(after[row] - after[row - 1]) - 1, format_instant(int(times[row]))
        raise _bad(
            row, f"ts {stated} follows {left_out} bars without a return; state each bar, 0 where nothing was held"
        )


def _of_numbers(returns: Any) -> NDArray[np.float64]:
    kind = type(returns)
    if kind.__module__.partition(".")[0] == "pandas":  # its index would be lost
        raise invalid_field("returns", f"is a pandas {kind.__name__}; {_EXPECTED}: {_from_pandas(returns)} makes one")
    try:
        return np.asarray(returns, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise invalid_field("returns", f"is a {kind.__name__} that holds no numbers; {_EXPECTED}") from error


def _from_pandas(returns: Any) -> str:
    """Return the expression that makes the frame; ``to_numpy`` of times with a zone would hold objects."""
    is_frame = type(returns).__name__ == "DataFrame"
    name = "frame" if is_frame else "series"
    times = 'frame["ts"]' if is_frame and "ts" in returns.columns else f"{name}.index"
    values = 'frame["return"]' if is_frame else name
    return f'pl.DataFrame({{"ts": list({times}), "return": {values}.to_numpy()}})'


def _of_frame(frame: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    import polars as pl

    missing = {"ts", "return"} - set(frame.columns)
    if missing:
        raise invalid_field("returns", f"has no column {', '.join(sorted(missing))}; it needs ts and return")
    kind = frame.schema["ts"]
    if not isinstance(kind, pl.Datetime):
        raise invalid_field("returns.ts", f"is {kind}; it must be a datetime, in UTC")
    times = frame["ts"].dt.cast_time_unit("ns").to_physical()
    if times.null_count() or frame["return"].null_count():
        raise invalid_field("returns", "has nulls; state 0 where nothing was held")
    return times.to_numpy().astype(np.int64), frame["return"].cast(pl.Float64).to_numpy()


def _times(timestamps: NDArray[np.int64]) -> pl.Series:
    import polars as pl

    return pl.Series(timestamps).cast(pl.Datetime("ns", "UTC"))


def _stream(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="zstd")
    return buffer.getvalue()


def _bad(row: int, what: str) -> QmtlError:
    return QmtlError(
        Reason.INVALID_SERIES, f"returns, row {row}: {what}", metadata={"field": "returns", "row": str(row)}
    )
