"""How far a long check is, on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]


def timed(began: float) -> Say:
    """Return what prints a line behind the seconds since a moment of the monotonic clock."""

    def say(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.0f} s  {text}\n")
        sys.stdout.flush()

    return say
