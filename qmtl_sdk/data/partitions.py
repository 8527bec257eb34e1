"""Partitions: the bars of one calendar year (UTC), named by the hash of their content, and the manifest of them.

The content hash is over the arrays in canonical form (one NaN, no negative zero), never over an encoding such as
Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.identity import Json, canonical_json, content_id, partition_hash
from qmtl_sdk.data.blocks import Block, BlockError, pack, unpack
from qmtl_sdk.data.conformance import Rule, Violation
from qmtl_sdk.data.coverage import Interval
from qmtl_sdk.data.sessions import BarGrid, chained
from qmtl_sdk.data.times import format_instant, parse_instant

MANIFEST_FORMAT: Final = "qmtl.partitions/1"
MANIFEST_CONTEXT: Final = "qmtl 2026-11 partition-manifest v1"

_COLUMN_PREFIX: Final = "column/"


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Hold the bars of a grid for S symbols: ``columns`` float64 [T, S] each, NaN is null."""

    grid: BarGrid
    symbols: tuple[str, ...]
    columns: Mapping[str, NDArray[np.float64]]

    def take(self, chosen: slice) -> Partition:
        """Return a part of the bars."""
        return Partition(self.grid.take(chosen), self.symbols, {name: a[chosen] for name, a in self.columns.items()})

    def content(self) -> bytes:
        """Return the canonical bytes: equal exactly for equal bars."""
        grid = {"opens": self.grid.opens, "closes": self.grid.closes, "sessions": self.grid.sessions}
        columns = {_COLUMN_PREFIX + name: values for name, values in self.columns.items()}
        return pack(Block({"symbols": list(self.symbols)}, {**grid, **columns}))

    @classmethod
    def of_content(cls, content: bytes, content_hash: str) -> Partition | None:
        """Return the partition of canonical bytes, or None when they are not what ``content_hash`` names."""
        if partition_hash(content) != content_hash:
            return None
        try:
            block = unpack(content)
        except BlockError:
            return None
        arrays = block.arrays
        columns = {n.removeprefix(_COLUMN_PREFIX): a for n, a in arrays.items() if n.startswith(_COLUMN_PREFIX)}
        symbols = block.meta["symbols"]
        if not isinstance(symbols, list):
            return None
        grid = BarGrid(arrays["opens"], arrays["closes"], arrays["sessions"])
        return cls(grid, tuple(str(symbol) for symbol in symbols), columns)


@dataclass(frozen=True, slots=True)
class PartitionEntry:
    """List one partition: its year (UTC, of the bars' last nanosecond), its bars, the hash of its content."""

    year: int
    bars: int
    content_hash: str

    @property
    def span(self) -> Interval:
        """Return the year as a half-open interval."""
        return Interval(_year_start(self.year), _year_start(self.year + 1))


@dataclass(frozen=True, slots=True)
class Manifest:
    """List a dataset's partitions in order, and what was found when they were made.

    ``first_bars``: close of each symbol's first bar; ``newest``: close of the newest bar; nanoseconds in UTC.
    """

    dataset_key: str
    source_version: str
    bars_per_session: int
    first_bars: tuple[int, ...]
    newest: int
    partitions: tuple[PartitionEntry, ...]
    violations: tuple[Violation, ...]

    def document(self) -> bytes:
        """Return the canonical JSON, with the hash of its content under ``content_hash``."""
        content: dict[str, Json] = {
            "format": MANIFEST_FORMAT,
            "bars_per_session": self.bars_per_session,
            "dataset_key": self.dataset_key,
            "first_bars": [format_instant(first) for first in self.first_bars],
            "newest": format_instant(self.newest),
            "partitions": [[entry.year, entry.bars, entry.content_hash] for entry in self.partitions],
            "source_version": self.source_version,
            "violations": [item.document() for item in self.violations],
        }
        return canonical_json({**content, "content_hash": content_id(MANIFEST_CONTEXT, content)})

    @classmethod
    def parse(cls, document: bytes) -> Manifest | None:
        """Return the manifest of a document, or None when it is no whole one of ours: the dataset is made again."""
        try:
            given = json.loads(document)
            stated = given.pop("content_hash")
            if given["format"] != MANIFEST_FORMAT or content_id(MANIFEST_CONTEXT, given) != stated:
                return None
            found = tuple(Violation(**{**item, "rule": Rule(item["rule"])}) for item in given["violations"])
            return cls(
                dataset_key=given["dataset_key"],
                source_version=given["source_version"],
                bars_per_session=given["bars_per_session"],
                first_bars=tuple(parse_instant(text, "first_bars") for text in given["first_bars"]),
                newest=parse_instant(given["newest"], "newest"),
                partitions=tuple(PartitionEntry(*entry) for entry in given["partitions"]),
                violations=found,
            )
        except (AttributeError, KeyError, TypeError, ValueError, QmtlError):
            return None

    def overlapping(self, span: Interval) -> tuple[PartitionEntry, ...]:
        """Return the partitions that can hold bars of ``span``."""
        return tuple(e for e in self.partitions if e.span.start < span.end and span.start < e.span.end)


def by_year(whole: Partition) -> Iterator[tuple[int, Partition]]:
    """Cut bars into years; yield each year with its bars, in order."""
    years = _years(whole.grid.closes)
    for year in np.unique(years):
        first, after = np.searchsorted(years, [year, year + 1])
        yield int(year), whole.take(slice(int(first), int(after)))


def entry_of(year: int, part: Partition) -> PartitionEntry:
    """Return the entry of a year's bars."""
    return PartitionEntry(year, len(part.grid), partition_hash(part.content()))


def joined(parts: Sequence[Partition]) -> Partition:
    """Return consecutive partitions as one; its columns are read-only and C-contiguous."""
    whole = parts[0] if len(parts) == 1 else _concatenated(parts)
    for array in (whole.grid.opens, whole.grid.closes, whole.grid.sessions, *whole.columns.values()):
        array.flags.writeable = False
    return whole


def _concatenated(parts: Sequence[Partition]) -> Partition:
    grid = chained([part.grid for part in parts])
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Partition(grid, parts[0].symbols, columns)


def _years(closes: NDArray[np.int64]) -> NDArray[np.int64]:
    last_instants = (closes - 1).view("datetime64[ns]")
    return last_instants.astype("datetime64[Y]").astype(np.int64) + 1970


def _year_start(year: int) -> int:
    return int(np.datetime64(f"{year:04d}", "Y").astype("datetime64[ns]").astype(np.int64))
