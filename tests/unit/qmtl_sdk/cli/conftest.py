"""Fixtures of the command line's own tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _own_imports() -> Iterator[None]:
    """Forget the modules and folders that a test imports from."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith(("qmtl_", "numpy", "polars", "numba", "llvmlite")):
            del sys.modules[name]
