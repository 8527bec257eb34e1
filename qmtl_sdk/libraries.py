"""The versions of the libraries that what is computed depends on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

COMPUTE_LIBRARIES: Final = ("exchange_calendars", "numba", "numpy", "polars", "qmtl")


def library_versions() -> dict[str, str]:
    """Return the versions that a computed result, or a proof of it, depends on; ``source`` is a checkout's."""
    versions = {}
    for name in COMPUTE_LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "source"
    return versions
