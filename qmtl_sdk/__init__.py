"""QMTL's SDK: write signal logic, submit it to a world, read what the world decided."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qmtl_foundation.errors import QmtlError
    from qmtl_sdk.runner import Runner
    from qmtl_sdk.strategy import MatchMode, Node, Strategy, StreamInput, TagQueryNode, long_only, long_short
    from qmtl_sdk.submission.result import SubmitResult

__all__ = [
    "MatchMode",
    "Node",
    "QmtlError",
    "Runner",
    "Strategy",
    "StreamInput",
    "SubmitResult",
    "TagQueryNode",
    "long_only",
    "long_short",
]

_HOMES = {
    "QmtlError": "qmtl_foundation.errors",
    "Runner": "qmtl_sdk.runner",
    "SubmitResult": "qmtl_sdk.submission.result",
}


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for: the CLI's help needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'qmtl_sdk' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "qmtl_sdk.strategy")), name)
