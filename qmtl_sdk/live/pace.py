"""At what pace the bars of a replay come."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from qmtl_foundation.errors import invalid_field
from qmtl_sdk.live.feed import Moment
from qmtl_sdk.session.emission import bar_time_of

MAX_SPEED: Final = "max"

_FACTOR: Final = re.compile(r"([1-9][0-9]{0,8})x")
_NS: Final = 10**9


def parse_speed(text: str) -> float | None:
    """Return how many times faster than the clock bars come, None for no waiting at all ("max").

    Raises QmtlError INVALID_FIELD for anything but "max" and such as "60x".
    """
    if text == MAX_SPEED:
        return None
    written = _FACTOR.fullmatch(text)
    if written is None:
        raise invalid_field("speed", f"{text!r} is no speed; write such as 60x, or max")
    return float(written[1])


def paced(
    moments: Iterable[Moment],
    speed: float | None,
    past: datetime | None,
    idle: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Moment]:
    """Yield moments at the pace of their closes, ``speed`` times as fast; None waits for none.

    Those up to ``past`` are history that a former run went through: the pace begins with the first one behind it.
    ``idle`` spends up to some seconds.
    """
    began = first = None
    for moment in moments:
        if speed is not None and (past is None or bar_time_of(moment.timestamp) > past):
            if began is None or first is None:
                began, first = clock(), moment.timestamp
            due = began + (moment.timestamp - first) / _NS / speed
            while (left := due - clock()) > 0.0:
                idle(left)
        yield moment
