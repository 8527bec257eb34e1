"""Statistics of returns, targets and trades: the field's definitions, documented in ``catalog``, in NumPy alone.

The names below load on first use, so that a service which only needs the catalog starts without NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qmtl_foundation.statistics.catalog import METRICS, Metric

if TYPE_CHECKING:
    from qmtl_foundation.statistics.summary import compute

__all__ = ["METRICS", "Metric", "compute"]


def __getattr__(name: str) -> Any:
    if name == "compute":
        from qmtl_foundation.statistics.summary import compute

        return compute
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
