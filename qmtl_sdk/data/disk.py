"""A folder of cache files shared by processes: written atomically, bounded in size, least recently used out first.

Rule of eviction: with its first write, and whenever it has written a sixteenth of the bound, a process adds up the
folder; above the bound, files go by the time of their last use, oldest first, until nine tenths are left. So the
folder may pass its bound by a sixteenth for each process that writes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason

DEFAULT_MAX_BYTES: Final = 2 * 1024**3
CHECK_PARTS: Final = 16
KEEP_TENTHS: Final = 9


@dataclass(frozen=True, slots=True, order=True)
class _File:
    used_ns: int
    path: str
    size: int


class BoundedFolder:
    """Keep files below ``root``, at most about ``max_bytes`` of them; a file may vanish at any time."""

    def __init__(self, root: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._unchecked_bytes = max_bytes

    def read(self, name: str) -> bytes | None:
        """Return the file's content and note its use, or None when there is none."""
        path = self.root / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable("read", error) from error
        with contextlib.suppress(OSError):  # evicted meanwhile, or a folder that we may only read
            os.utime(path)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Put the whole file in place at once: a reader sees the old content or the new, never a part.

        Raises QmtlError NOT_CONFIGURED when the folder cannot be written.
        """
        path = self.root / name
        partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise self._unusable("write", error) from error
        self._unchecked_bytes += len(content)
        if self._unchecked_bytes >= self.max_bytes // CHECK_PARTS:
            self._evict()

    def discard(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def _unusable(self, doing: str, error: OSError) -> QmtlError:
        mend = "free space there, correct its permissions, or choose another cache folder"
        message = f"cannot {doing} the cache folder {self.root}: {error.strerror}; {mend}"
        return QmtlError(Reason.NOT_CONFIGURED, message, metadata={"folder": str(self.root)})

    def _evict(self) -> None:
        self._unchecked_bytes = 0
        files = sorted(_files(str(self.root)))
        total = sum(file.size for file in files)
        if total <= self.max_bytes:
            return
        for file in files:
            if total * 10 <= self.max_bytes * KEEP_TENTHS:
                break
            Path(file.path).unlink(missing_ok=True)
            total -= file.size


def _files(folder: str) -> Iterator[_File]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(entry.path)
                else:
                    stat = entry.stat(follow_symlinks=False)
                    yield _File(stat.st_mtime_ns, entry.path, stat.st_size)
            except FileNotFoundError:
                continue  # another process evicted it between the listing and the look
