from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.disk import BoundedFolder


def test_least_recently_used_files_go_first(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, max_bytes=1_000)
    for number in range(10):
        folder.write(f"part/{number}", bytes(100))
        os.utime(tmp_path / f"part/{number}", ns=(number, number))
    assert folder.read("part/0") is not None  # used just now, so the newest
    folder.write("part/new", bytes(100))
    left = {path.name for path in (tmp_path / "part").iterdir()}
    assert left == {"0", "3", "4", "5", "6", "7", "8", "9", "new"}


def test_write_replaces_whole_files_and_leaves_no_parts(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path)
    folder.write("a", b"old")
    folder.write("a", b"new")
    assert folder.read("a") == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_absent_file_reads_as_none_and_can_be_discarded(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path)
    folder.discard("a")
    assert folder.read("a") is None


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(QmtlError, match="choose another cache folder") as caught:
        BoundedFolder(tmp_path / "file").write("a/b", b"x")
    assert caught.value.reason is Reason.NOT_CONFIGURED
