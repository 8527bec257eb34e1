"""A token in a file that is renewed, spoilt or gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmtl_foundation.auth.token_file import TokenFile
from qmtl_foundation.errors import QmtlError, Reason


def write(path: Path, text: str, seconds: int) -> None:
    path.write_text(text)
    os.utime(path, (seconds, seconds))


def test_a_renewed_file_is_read_again_and_a_lost_one_leaves_the_last_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(path, "one\n", 1)
    file = TokenFile(path, "QMTL_X")
    found = [file.token]
    for seconds, text in enumerate(("two", ""), 2):
        write(path, text, seconds)
        found.append(file.token)
    path.unlink()
    assert [*found, file.token] == ["one", "two", "two", "two"]


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_a_file_without_a_token_is_refused_at_first(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(QmtlError) as caught:
        TokenFile(path, "QMTL_X")
    assert (caught.value.reason, caught.value.metadata) == (Reason.NOT_CONFIGURED, {"setting": "QMTL_X"})
