"""The one way in which kernels are compiled: IEEE arithmetic as written, without the interpreter lock, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel on its first call.

    No fast-math: a reordered sum would differ between block borders, and so between live and backtest.
    """
    compiled: Callable[P, R] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
