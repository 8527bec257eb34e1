"""Settings of the SDK and the CLI, from ``QMTL_…`` variables."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path
from typing import Final

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.requests import check_authored_name

GATEWAY_VARIABLE: Final = "QMTL_GATEWAY"
CACHE_VARIABLE: Final = "QMTL_CACHE_DIR"
AUTHOR_VARIABLE: Final = "QMTL_AUTHOR"
MAX_AUTHOR: Final = 64


def cache_dir() -> Path:
    """Return where data and results are cached: ``QMTL_CACHE_DIR``, else ``qmtl`` below the user's cache folder."""
    stated = os.environ.get(CACHE_VARIABLE, "")
    if stated:
        return Path(stated)
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home else Path.home() / ".cache") / "qmtl"


def default_author() -> str:
    """Return whose strategies these are: ``QMTL_AUTHOR``, else the user's name, made to fit a strategy id."""
    name = os.environ.get(AUTHOR_VARIABLE, "") or _user_name()
    fitting = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")[:MAX_AUTHOR]
    return fitting or "author"


def checked_author(given: str | None) -> str:
    """Return an author as given, the default one for None. Raises QmtlError INVALID_FIELD for what is no name."""
    if given is None:
        return default_author()
    if not isinstance(given, str):
        raise invalid_field("author", f"{given!r} is no text; write such as 'ana'")
    return check_authored_name("author", given)


def _user_name() -> str:
    """Return the name of the user of this process, as the operating system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid-{os.getuid()}"
