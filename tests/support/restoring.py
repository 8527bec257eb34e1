"""A local stack's PostgreSQL as it was a while ago: its files are kept aside, and put back."""

from __future__ import annotations

import shutil
from pathlib import Path

from qmtl_sdk.local import postgres
from qmtl_sdk.local.process import recall, stop
from qmtl_sdk.local.start import stopping
from qmtl_sdk.local.state import Layout


def keep_database(layout: Layout, backup: Path) -> None:
    """End PostgreSQL, and copy its files."""
    _stop_postgres(layout)
    shutil.copytree(layout.postgres / "data", backup)
    _keep_owner(layout.postgres / "data", backup)


def restore_database(layout: Layout, backup: Path) -> None:
    """End PostgreSQL, and put the copy in the place of its files."""
    _stop_postgres(layout)
    shutil.rmtree(layout.postgres / "data")
    backup.rename(layout.postgres / "data")


def _stop_postgres(layout: Layout) -> None:
    child = recall(layout.record(postgres.NAME))
    assert child is not None
    stop(child, *stopping(postgres.NAME))


def _keep_owner(source: Path, copy: Path) -> None:
    for path in (copy, *copy.rglob("*")):
        stat = (source / path.relative_to(copy)).stat()
        shutil.chown(path, stat.st_uid, stat.st_gid)
