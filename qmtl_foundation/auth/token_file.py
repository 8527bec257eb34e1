"""A token kept in a file, as orchestrators mount and renew it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qmtl_foundation.errors import QmtlError, Reason


class TokenFile:
    """Read a token from a file, again when the file changes.

    Raises QmtlError NOT_CONFIGURED, naming ``setting``, for a file that cannot be read at first; later the last token
    goes on.
    """

    def __init__(self, path: str | Path, setting: str) -> None:
        self._path = Path(path)
        try:
            self._token, self._changed = self._read()
        except (OSError, ValueError) as error:
            raise QmtlError(
                Reason.NOT_CONFIGURED,
                f"{setting} is {str(path)!r}, must be a readable file that holds a token: {error}",
                metadata={"setting": setting},
            ) from error

    @property
    def token(self) -> str:
        """Return the token as it stands in the file now."""
        with suppress(OSError, ValueError):
            if self._path.stat().st_mtime_ns != self._changed:
                self._token, self._changed = self._read()
        return self._token

    def _read(self) -> tuple[str, int]:
        changed = self._path.stat().st_mtime_ns
        token = self._path.read_text(encoding="ascii").strip()
        if not token:
            raise ValueError("it is empty")
        return token, changed
