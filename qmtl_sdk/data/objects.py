"""Objects by URL, through obstore: local folders, S3, GCS, Azure, HTTP; its errors become domain errors here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from qmtl_foundation.errors import QmtlError, Reason

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_FILE_SCHEME: Final = "file://"


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """Name an object of a folder; ``version`` changes with its content (entity tag, or size and time)."""

    name: str
    version: str


class ObjectFolder:
    """Read and write the objects of one folder: an absolute path, or a URL.

    Writes are atomic: an object is there whole or not at all. Every failure but a missing object is
    QmtlError DATA_UNAVAILABLE naming the folder.
    """

    def __init__(self, location: str, *, create: bool = False) -> None:
        self.location = location.rstrip("/") or "/"
        with self._errors("open"):
            self._store = _open(self.location, create)

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes, or None when it is not there."""
        with self._errors(f"read {name} of"):
            try:
                return bytes(self._store.get(name).bytes())
            except FileNotFoundError:
                return None

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in place of what is there."""
        with self._errors(f"write {name} to"):
            self._store.put(name, content)

    def head(self, name: str) -> ObjectEntry | None:
        """Return an object's entry, or None when it is not there."""
        with self._errors(f"look at {name} of"):
            try:
                meta = self._store.head(name)
            except FileNotFoundError:
                return None
        return ObjectEntry(meta["path"], meta["e_tag"] or f"{meta['size']}-{meta['last_modified'].isoformat()}")

    def list(self, suffix: str) -> tuple[ObjectEntry, ...]:
        """Return the objects whose names end in ``suffix``, sorted by name."""
        with self._errors("list"):
            found = [meta for batch in self._store.list() for meta in batch if meta["path"].endswith(suffix)]
        entries = (ObjectEntry(m["path"], m["e_tag"] or f"{m['size']}-{m['last_modified'].isoformat()}") for m in found)
        return tuple(sorted(entries, key=lambda entry: entry.name))

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            cause = str(error).splitlines()[0]
            message = f"cannot {doing} {self.location}: {cause}; check the address, and that it may be read"
            raise QmtlError(Reason.DATA_UNAVAILABLE, message, metadata={"location": self.location}) from error


def split_location(uri: str) -> tuple[str, str]:
    """Return the folder of an object's address and the object's name in it; the name is empty for a folder."""
    folder, _, name = uri.rpartition("/")
    return folder or "/", name


def _open(location: str, create: bool) -> ObjectStore:
    from obstore.store import LocalStore, from_url

    if "://" in location and not location.startswith(_FILE_SCHEME):
        return from_url(location)
    path = Path(unquote(location.removeprefix(_FILE_SCHEME)) if location.startswith(_FILE_SCHEME) else location)
    return LocalStore(path, mkdir=create)
