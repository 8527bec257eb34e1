"""Files that are written whole or not at all, and that nobody reads meanwhile who may not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from qmtl_foundation.errors import QmtlError, Reason

SECRET: Final = 0o600  # for its user only
PUBLIC: Final = 0o644


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; who may not read it may not while it is written."""
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    aside.replace(path)


@contextmanager
def new_file(file: Path) -> Iterator[IO[bytes]]:
    """Yield a new file that its owner alone may read, and that is on disk afterwards.

    Raises QmtlError(NOT_CONFIGURED) for one that cannot be written. Any OSError raised within is taken for that: map
    those of others before.
    """
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET), "wb") as content:
            yield content
            content.flush()
            os.fsync(content.fileno())
    except OSError as error:
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"{file} cannot be written ({error.strerror}): make room, or choose another folder",
            metadata={"path": str(file)},
        ) from error
