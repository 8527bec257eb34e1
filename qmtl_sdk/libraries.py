"""The versions that are installed, and of which libraries what is computed depends on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

COMPUTE_LIBRARIES: Final = ("exchange_calendars", "numba", "numpy", "polars", "qmtl")


def library_versions() -> dict[str, str]:
    """Return the versions that a computed result, or a proof of it, depends on."""
    return {name: version_of(name) for name in COMPUTE_LIBRARIES}


def version_of(distribution: str) -> str:
    """Return the version of a distribution that is installed; ``source`` is a checkout's."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "source"
