"""The sources that read files: Parquet and CSV wherever obstore reaches, and the sample inside the package.

Telling a version needs neither Polars nor the files' content (of the sample: its 0.3 MB), so a warm read stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import bytes_id, canonical_json
from qmtl_sdk.data.objects import ObjectEntry, ObjectFolder, split_location
from qmtl_sdk.data.preset import CsvSource, ParquetSource, PublishedStream, SampleSource, WorldDataPreset
from qmtl_sdk.data.source import SOURCE_CONTEXT, DataSource, SourceRows, Wanted

SYMBOL_FIELD: Final = "{symbol}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """Hold the content of one file; ``symbol`` when the file's name states it."""

    name: str
    content: bytes
    symbol: str | None


class SampleFiles:
    """Read a data set that the package carries."""

    def __init__(self, preset: WorldDataPreset, source: SampleSource) -> None:
        self._preset = preset
        self._content = (resources.files("qmtl_sdk.data.sample") / f"{source.dataset}.parquet").read_bytes()

    def version(self) -> str:
        """Return the hash of the data set."""
        return bytes_id(SOURCE_CONTEXT, self._content)

    def read(self) -> SourceRows:
        """Return the rows of the preset's symbols, with the grid of sessions that the data set carries."""
        from qmtl_sdk.data.frames import sample_rows

        return sample_rows(self._preset, self._content)


class ObjectFiles:
    """Read the Parquet or CSV files that a source names."""

    def __init__(self, wanted: Wanted, source: ParquetSource | CsvSource) -> None:
        self._wanted = wanted
        self._source = source

    def version(self) -> str:
        """Return a hash over the files' names and entity tags."""
        listed = [[symbol, entry.name, entry.version] for symbol, _, entry in self._entries()]
        return bytes_id(SOURCE_CONTEXT, canonical_json(listed))

    def read(self) -> SourceRows:
        """Return the rows of all files, in the order of the files' names."""
        from qmtl_sdk.data.frames import file_rows

        files = []
        for symbol, folder, entry in self._entries():
            content = folder.get(entry.name)
            if content is None:
                raise self._missing(entry.name)
            files.append(SourceFile(entry.name, content, symbol))
        return file_rows(self._wanted, self._source, files)

    def _entries(self) -> list[tuple[str | None, ObjectFolder, ObjectEntry]]:
        uri = self._source.uri
        if SYMBOL_FIELD not in uri:
            return self._found(uri, None)
        return [
            found for symbol in self._wanted.symbols for found in self._found(uri.replace(SYMBOL_FIELD, symbol), symbol)
        ]

    def _found(self, uri: str, symbol: str | None) -> list[tuple[str | None, ObjectFolder, ObjectEntry]]:
        location, name = split_location(uri)
        folder = ObjectFolder(location)
        if not name:
            entries = folder.list(f".{self._source.kind}")
        else:
            entry = folder.head(name)
            entries = () if entry is None else (entry,)
        if not entries:
            raise self._missing(uri)
        return [(symbol, folder, entry) for entry in entries]

    def _missing(self, what: str) -> QmtlError:
        message = (
            f"{self._wanted.name}: source.uri: there is no {self._source.kind} file at {what}; correct the address"
        )
        return QmtlError(
            Reason.DATA_UNAVAILABLE, message, metadata={"data_preset": self._wanted.name, "uri": self._source.uri}
        )


def source_of(preset: WorldDataPreset) -> DataSource:
    """Return the source that a preset names."""
    if isinstance(preset.source, SampleSource):
        return SampleFiles(preset, preset.source)
    return ObjectFiles(Wanted(preset.name, preset.symbols, preset.source_columns), preset.source)


def published_source_of(preset: WorldDataPreset, stream: PublishedStream) -> DataSource:
    """Return the source of a stream that a preset lists."""
    symbols = stream.symbols or preset.symbols
    return ObjectFiles(Wanted(f"{preset.name}, stream {stream.name}", symbols, stream.columns), stream.source)
