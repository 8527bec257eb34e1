"""Intervals as authors write them ("1h", 3600), in seconds."""

from __future__ import annotations

import re
from typing import Final

from qmtl_foundation.errors import invalid_field

WORLD_INTERVAL_S: Final = 0  # the interval of the world's data preset, unknown while a strategy is written
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_WRITTEN: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")


def interval_seconds(interval: str | int | None) -> int:
    """Return seconds of "30s", "15m", "1h", "1d", "1w" or a positive int; None is the world's interval, 0.

    Raises QmtlError INVALID_FIELD for anything else.
    """
    if interval is None:
        return WORLD_INTERVAL_S
    if isinstance(interval, int) and not isinstance(interval, bool) and interval > 0:
        return interval
    written = _WRITTEN.fullmatch(interval) if isinstance(interval, str) else None
    if written is None:
        raise invalid_field(
            "interval", f"{interval!r} is no interval; write for example '15m', '1h', '1d', '1w' or seconds"
        )
    return int(written[1]) * _UNIT_SECONDS[written[2]]
