"""The revisions of a package, applied one after the other to a database, by the migrator that everybody runs."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.support.stack import ROOT, migrate
from tests.upgrades.catalog import contractions, read_catalog

MARK: Final = "UNUSED_SINCE"  # of a revision that takes something away: the first release that does not use it
CHANGELOG: Final = ROOT / "CHANGELOG.md"
_RELEASED: Final = re.compile(r"^## \[?(\d+)\.(\d+)\.(\d+)\]?", re.MULTILINE)
_SOURCE: Final = '''"""{what}"""

from __future__ import annotations

from alembic import op

revision = "{revision}"
down_revision = {before!r}
{marked}

def upgrade() -> None:
    """Change what stands."""
    for statement in {statements!r}:
        op.execute(statement)
'''

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Revision:
    """Hold one revision: its file, and what its author says is used no more since which release, None for nothing."""

    file: Path
    unused_since: Version | None


def releases(changelog: str) -> list[Version]:
    """Return the releases of a changelog, the newest first."""
    return [(int(major), int(minor), int(patch)) for major, minor, patch in _RELEASED.findall(changelog)]


def revisions(folder: Path) -> list[Revision]:
    """Return the revisions of a folder, the oldest first."""
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.py"))
    return [Revision(file, _version(getattr(_module(file), MARK, None))) for file in files]


def written(folder: Path, number: int, statements: Sequence[str], unused_since: str = "") -> None:
    """Write a revision into a folder."""
    marked = f'{MARK} = "{unused_since}"\n' if unused_since else ""
    text = _SOURCE.format(
        what=f"Revision {number}.",
        revision=f"{number:04}",
        before=f"{number - 1:04}" if number > 1 else None,
        marked=marked,
        statements=tuple(statements),
    )
    (folder / f"{number:04}_made.py").write_text(text)


def copied(package: str, root: Path) -> Path:
    """Copy a package's migrations below a folder, and nothing else of it; return theirs."""
    return _laid(ROOT / package / "migrations", package, root)


async def judged(package: str, folder: Path, dsn: str, released: Sequence[Version]) -> list[str]:
    """Apply the revisions of a folder one after the other; return what breaks the release before."""
    found: list[str] = []
    schema = package.removeprefix("qmtl_")
    before = None
    for revision in revisions(folder):
        migrate_to(package, folder, revision, dsn)
        after = await read_catalog(dsn, schema)
        if before is not None and not _may_contract(revision, released):
            found += [f"{revision.file.name}: {each}" for each in contractions(before, after)]
        before = after
    return found


def migrate_to(package: str, folder: Path, newest: Revision, dsn: str) -> None:
    """Bring a database to a revision of a folder."""
    with tempfile.TemporaryDirectory() as place:
        target = _laid(folder, package, Path(place))
        for each in revisions(target):
            if each.file.name > newest.file.name:
                each.file.unlink()
        migrate(dsn, package, root=Path(place))


def _laid(migrations: Path, package: str, root: Path) -> Path:
    """Copy migrations to where the package below a folder has its own; return where that is."""
    folder = root / package / "migrations"
    shutil.copytree(migrations, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / package / "__init__.py").touch()
    return folder


def _may_contract(revision: Revision, released: Sequence[Version]) -> bool:
    """Tell whether a release does without what is taken away: then no code that still runs uses it."""
    return revision.unused_since is not None and bool(released) and revision.unused_since <= max(released)


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"revision_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _version(text: str | None) -> Version | None:
    if text is None:
        return None
    major, minor, patch = map(int, text.split("."))
    return major, minor, patch
