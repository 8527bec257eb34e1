"""The tables that trials write into ``docs/operations/security.md``."""

from __future__ import annotations

import re
from typing import Final

from tests.support.stack import ROOT

DOCUMENT: Final = ROOT / "docs" / "operations" / "security.md"
ROLES: Final = "roles"
REQUESTS: Final = "requests"


def shown(name: str) -> str:
    """Return a section as the document shows it."""
    found = _section(name).search(DOCUMENT.read_text(encoding="utf-8"))
    assert found is not None, f"{DOCUMENT} has no section of {name}"
    return found[2].strip()


def show(name: str, table: str) -> None:
    """Write a section."""
    text = DOCUMENT.read_text(encoding="utf-8")
    fresh = _section(name).sub(lambda found: f"{found[1]}{table}\n{found[3]}", text)
    DOCUMENT.write_text(fresh, encoding="utf-8")


def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)
