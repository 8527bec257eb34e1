"""Where partitions are kept between reads: memory, the disk cache, and storage (Parquet in a folder by URL).

A shelf holds manifests by dataset key, and partitions by content hash; what does not match its hash counts as not
there. A manifest is written last, so one that can be read lists partitions that were there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Protocol

from qmtl_sdk.data.disk import BoundedFolder
from qmtl_sdk.data.objects import ObjectFolder
from qmtl_sdk.data.partitions import Manifest, Partition, PartitionEntry
from qmtl_sdk.data.preset import WorldDataPreset
from qmtl_sdk.data.report import Layer


class Shelf(Protocol):
    """Keep the partitions of one preset's dataset."""

    layer: Layer

    def manifest(self) -> Manifest | None:
        """Return the manifest kept, if any."""
        ...

    def partition(self, entry: PartitionEntry) -> Partition | None:
        """Return a partition whose content has been checked, if it is there."""
        ...

    def keep(self, manifest: Manifest, partitions: Mapping[str, Partition]) -> None:
        """Keep some of a manifest's partitions (by content hash), then the manifest."""
        ...


class MemoryShelf:
    """Keep what this process has read."""

    layer = Layer.MEMORY

    def __init__(self) -> None:
        self._manifest: Manifest | None = None
        self._partitions: dict[str, Partition] = {}

    def manifest(self) -> Manifest | None:
        """Return the manifest read last."""
        return self._manifest

    def partition(self, entry: PartitionEntry) -> Partition | None:
        """Return a partition read before."""
        return self._partitions.get(entry.content_hash)

    def keep(self, manifest: Manifest, partitions: Mapping[str, Partition]) -> None:
        """Keep the partitions; those of a manifest that this one replaces go."""
        listed = {entry.content_hash for entry in manifest.partitions}
        together = {**self._partitions, **partitions}
        self._partitions = {name: part for name, part in together.items() if name in listed}
        self._manifest = manifest


class DiskShelf:
    """Keep partitions as their canonical bytes in the disk cache, shared by processes and presets."""

    layer = Layer.DISK

    def __init__(self, preset: WorldDataPreset, folder: BoundedFolder) -> None:
        self._manifest_name = f"manifests/{_hex(preset.dataset_key())}.json"
        self._folder = folder

    def manifest(self) -> Manifest | None:
        """Return the manifest on disk."""
        content = self._folder.read(self._manifest_name)
        return None if content is None else Manifest.parse(content)

    def partition(self, entry: PartitionEntry) -> Partition | None:
        """Return a partition; one that does not match its hash is removed."""
        content = self._folder.read(_block_name(entry.content_hash))
        if content is None:
            return None
        partition = Partition.of_content(content, entry.content_hash)
        if partition is None:
            self._folder.discard(_block_name(entry.content_hash))
        return partition

    def keep(self, manifest: Manifest, partitions: Mapping[str, Partition]) -> None:
        """Write the partitions, then the manifest."""
        for content_hash, partition in partitions.items():
            self._folder.write(_block_name(content_hash), partition.content())
        self._folder.write(self._manifest_name, manifest.document())


class StorageShelf:
    """Keep partitions as Parquet below ``<storage>/<dataset key>/``; objects are named by content and never change."""

    layer = Layer.STORAGE

    def __init__(self, preset: WorldDataPreset, storage: str) -> None:
        self._columns = preset.bars.columns
        self._prefix = _hex(preset.dataset_key())[:16]
        self._storage = storage

    @cached_property
    def _folder(self) -> ObjectFolder:
        return ObjectFolder(self._storage, create=True)

    def manifest(self) -> Manifest | None:
        """Return the manifest in storage."""
        content = self._folder.get(f"{self._prefix}/manifest.json")
        return None if content is None else Manifest.parse(content)

    def partition(self, entry: PartitionEntry) -> Partition | None:
        """Return a partition; the hash is of its bars, so another Parquet writer's file serves as well."""
        from qmtl_sdk.data.frames import parquet_partition

        content = self._folder.get(self._name(entry))
        if content is None:
            return None
        partition = parquet_partition(content, self._columns)
        return None if partition is None else Partition.of_content(partition.content(), entry.content_hash)

    def keep(self, manifest: Manifest, partitions: Mapping[str, Partition]) -> None:
        """Write the partitions, then the manifest."""
        from qmtl_sdk.data.frames import partition_parquet

        for entry in manifest.partitions:
            if entry.content_hash in partitions:
                self._folder.put(self._name(entry), partition_parquet(partitions[entry.content_hash]))
        self._folder.put(f"{self._prefix}/manifest.json", manifest.document())

    def _name(self, entry: PartitionEntry) -> str:
        return f"{self._prefix}/{entry.year}-{_hex(entry.content_hash)[:32]}.parquet"


def _block_name(content_hash: str) -> str:
    return f"partitions/{_hex(content_hash)}"


def _hex(identifier: str) -> str:
    return identifier.removeprefix("blake3:")
