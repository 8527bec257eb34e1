"""Files that are written whole or not at all, and that nobody reads meanwhile who may not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SECRET: Final = 0o600  # for its user only
PUBLIC: Final = 0o644


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; who may not read it may not while it is written."""
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    aside.replace(path)
