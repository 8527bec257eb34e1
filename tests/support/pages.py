"""Pages of the documents that a check writes its figures into: the part between the markers of a section."""

from __future__ import annotations

import re
from pathlib import Path


def section(page: Path, name: str) -> str:
    """Return what stands between a section's markers. Raises ValueError unless the page has them once."""
    return _part(page, page.read_text(encoding="utf-8"), name)[0]


def write_section(page: Path, name: str, text: str) -> None:
    """Put a text between a section's markers. Raises ValueError unless the page has them once."""
    document = page.read_text(encoding="utf-8")
    part = _part(page, document, name)
    page.write_text(f"{document[: part.start()]}{text}\n{document[part.end() :]}", encoding="utf-8")


def _part(page: Path, document: str, name: str) -> re.Match[str]:
    found = list(re.finditer(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", document, re.DOTALL))
    if len(found) != 1:
        raise ValueError(f"{page.name} must have the markers of {name!r} once, has them {len(found)} times")
    return found[0]
