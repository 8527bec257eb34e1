"""The data of a preset, wherever it is nearest: memory, disk cache, storage, source; and a report of what came.

1. Ask the source for its version (`_serve`); a shelf whose manifest states another one is passed over (`_kept`).
2. The nearest shelf that has the manifest and every partition needed serves; nearer ones keep a copy (`_nearest`).
3. None has: read the source whole, assemble (`assemble.assemble`), keep everywhere (`_backfill`).
4. Cut to the range asked for and to ``as_of``, put what was published on those bars, and judge (`_delivered`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import dataset_fingerprint, joint_fingerprint
from qmtl_sdk.data.assemble import assemble
from qmtl_sdk.data.conformance import refuse_strict
from qmtl_sdk.data.coverage import Interval
from qmtl_sdk.data.disk import DEFAULT_MAX_BYTES, BoundedFolder
from qmtl_sdk.data.files import published_source_of, source_of
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.partitions import Manifest, Partition, PartitionEntry, by_year, entry_of, joined
from qmtl_sdk.data.preset import PublishedStream, SchemaMode, WorldDataPreset
from qmtl_sdk.data.published import on_bars
from qmtl_sdk.data.report import Delivery, DeliveryReport, Layer, judge_coverage, judge_sla
from qmtl_sdk.data.sessions import BarGrid
from qmtl_sdk.data.shelves import DiskShelf, MemoryShelf, Shelf, StorageShelf
from qmtl_sdk.data.source import DataSource
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.data.times import format_instant, parse_instant

DATA_FOLDER = "data"
PUBLISHED_SCHEMA = "qmtl.published/1"


@dataclass(frozen=True, slots=True, eq=False)
class _Served:
    manifest: Manifest
    partitions: Sequence[Partition]
    entries: Sequence[PartitionEntry]
    layer: Layer
    source_reachable: bool


class SeamlessDataProvider:
    """Deliver the bars of one preset. Not for use by several threads at once; processes share the disk cache."""

    def __init__(
        self,
        preset: WorldDataPreset,
        source: DataSource,
        cache: BoundedFolder,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.preset = preset
        self._source = source
        self._published = {stream.name: published_source_of(preset, stream) for stream in preset.streams}
        self._now_ns = now_ns
        shelves: list[Shelf] = [MemoryShelf(), DiskShelf(preset, cache)]
        if preset.storage is not None:
            shelves.append(StorageShelf(preset, preset.storage))
        self._shelves = tuple(shelves)

    def read(self, start: str | None = None, end: str | None = None, as_of: str | None = None) -> Delivery:
        """Return the bars of ``[start, end)`` (RFC 3339 or dates, UTC; None: the preset's) known at ``as_of``.

        A bar belongs to the range that holds its last nanosecond, and is known at its close. ``as_of`` None is the
        close of the newest bar there is. Raises QmtlError INVALID_FIELD for a time that cannot be read,
        DATA_UNAVAILABLE when the source cannot be read or no bar is left, DATA_INVALID for rows out of order or
        against a strict schema.
        """
        span = self._asked(start, end)
        snapshot = None if as_of is None else parse_instant(as_of, "as_of")
        served = self._serve(span)
        broken = served.manifest.violations
        if broken and self.preset.bars.mode is SchemaMode.STRICT:
            raise refuse_strict(self.preset.name, broken)
        return self._delivered(served, span, snapshot)

    def _asked(self, start: str | None, end: str | None) -> Interval:
        whole = self.preset.range
        first = whole.start if start is None else max(parse_instant(start, "start"), whole.start)
        after = whole.end if end is None else min(parse_instant(end, "end"), whole.end)
        if first >= after:
            raise self._empty(f"the range {start or self.preset.start}..{end or self.preset.end} has nothing of it")
        return Interval(first, after)

    def _serve(self, span: Interval) -> _Served:
        """Return the partitions that can hold ``span``; kept ones serve while the source cannot be asked."""
        try:
            version = self._source.version()
        except QmtlError as error:
            kept = self._nearest(None, span)
            if error.reason is not Reason.DATA_UNAVAILABLE or kept is None:
                raise
            return kept
        return self._nearest(version, span) or self._backfill(version, span)

    def _nearest(self, version: str | None, span: Interval) -> _Served | None:
        for index, shelf in enumerate(self._shelves):
            served = _kept(shelf, version, span)
            if served is not None:
                kept = {e.content_hash: p for e, p in zip(served.entries, served.partitions, strict=True)}
                for nearer in self._shelves[:index]:
                    nearer.keep(served.manifest, kept)
                return served
        return None

    def _backfill(self, version: str, span: Interval) -> _Served:
        assembled = assemble(self.preset, self._source.read(), version)
        manifest, partitions = assembled.manifest, assembled.partitions
        for shelf in reversed(self._shelves):
            shelf.keep(manifest, partitions)
        entries = manifest.overlapping(span)
        return _Served(manifest, [partitions[e.content_hash] for e in entries], entries, Layer.SOURCE, True)

    def _delivered(self, served: _Served, span: Interval, snapshot: int | None) -> Delivery:
        manifest = served.manifest
        known_until = manifest.newest if snapshot is None else snapshot
        bars = _visible(served.partitions, span, known_until)
        if bars is None:
            there = format_instant(manifest.newest)
            raise self._empty(f"no bar closes in {span} up to {format_instant(known_until)}; the newest is of {there}")
        panel = self._panel(bars)
        published = {stream.name: self._read_published(stream, bars.grid) for stream in self.preset.streams}
        fingerprints = {name: self._fingerprint_of(part) for name, part in published.items()}
        symbols, gaps = judge_coverage(panel, bars.grid, manifest.first_bars)
        newest = int(bars.grid.closes[-1])
        judged_at = min(span.end, self._now_ns(), span.end if snapshot is None else snapshot)
        report = DeliveryReport(
            data_preset=self.preset.name,
            served_from=served.layer,
            source_reachable=served.source_reachable,
            fingerprint=joint_fingerprint(self._fingerprint(manifest, bars), fingerprints),
            as_of=format_instant(known_until),
            span=Interval(int(bars.grid.opens[0]), newest),
            bars=len(bars.grid),
            bars_per_year=self.preset.sessions_per_year * manifest.bars_per_session,
            symbols=symbols,
            gaps=gaps,
            schema_mode=self.preset.bars.mode,
            violations=manifest.violations,
            sla_breaches=judge_sla(self.preset.sla, symbols, newest, judged_at),
            streams=fingerprints,
        )
        beside = {name: self._panel(part) for name, part in published.items()}
        return Delivery(Streams(self.preset.name, panel, bars.grid, self.preset.calendar, beside), report)

    def _panel(self, part: Partition) -> Panel:
        return Panel(part.grid.closes, part.symbols, part.columns, self.preset.interval_s)

    def _read_published(self, stream: PublishedStream, grid: BarGrid) -> Partition:
        """Return a stream on the bars delivered; it is read from its source each time."""
        rows = self._published[stream.name].read()
        return on_bars(stream, stream.symbols or self.preset.symbols, rows, grid)

    def _fingerprint(self, manifest: Manifest, bars: Partition) -> str:
        """Return the fingerprint of exactly the bars delivered, so the same snapshot has it whatever came later."""
        whole = {(entry.year, entry.bars): entry.content_hash for entry in manifest.partitions}
        hashes = [whole.get((y, len(part.grid))) or entry_of(y, part).content_hash for y, part in by_year(bars)]
        return dataset_fingerprint(self.preset.bars.id, self.preset.symbols, self.preset.interval_s, hashes)

    def _fingerprint_of(self, published: Partition) -> str:
        hashes = [entry_of(year, part).content_hash for year, part in by_year(published)]
        return dataset_fingerprint(PUBLISHED_SCHEMA, published.symbols, self.preset.interval_s, hashes)

    def _empty(self, cause: str) -> QmtlError:
        message = f"{self.preset.name}: the history is empty: {cause}; choose a wider range or a later as_of"
        return QmtlError(Reason.DATA_UNAVAILABLE, message, metadata={"data_preset": self.preset.name})


def resolve_provider(
    preset: WorldDataPreset,
    cache_dir: Path,
    source: DataSource | None = None,
    max_cache_bytes: int = DEFAULT_MAX_BYTES,
) -> SeamlessDataProvider:
    """Return the provider of a preset; ``source`` replaces the preset's own by an implementation of the protocol."""
    cache = BoundedFolder(cache_dir / DATA_FOLDER, max_cache_bytes)
    return SeamlessDataProvider(preset, source or source_of(preset), cache)


def _kept(shelf: Shelf, version: str | None, span: Interval) -> _Served | None:
    manifest = shelf.manifest()
    if manifest is None or version not in (None, manifest.source_version):
        return None
    entries = manifest.overlapping(span)
    partitions = []
    for entry in entries:
        partition = shelf.partition(entry)
        if partition is None:
            return None
        partitions.append(partition)
    return _Served(manifest, partitions, entries, shelf.layer, version is not None)


def _visible(partitions: Sequence[Partition], span: Interval, known_until: int) -> Partition | None:
    if not partitions:
        return None
    whole = joined(partitions)
    chosen = whole.grid.within(span.start, min(span.end, known_until))
    return whole.take(chosen) if chosen.start < chosen.stop else None
