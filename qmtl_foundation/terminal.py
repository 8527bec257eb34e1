"""How programs answer on a terminal: one JSON document, or text and tables on one console."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_COLUMNS: Final = 160  # width of tables that go to a file or a pipe


def write_document(document: object) -> None:
    """Write one JSON document to stdout; of numbers that JSON does not have, NaN and infinities, null."""
    sys.stdout.write(json.dumps(_strict(document), indent=2, ensure_ascii=False) + "\n")


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console that takes text as it is; where nobody looks on, it is wide."""
    from rich.console import Console

    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_COLUMNS
    return console


def folded_table(headings: Iterable[str]) -> Table:
    """Return an empty table with a line below its headings, whose cells are folded rather than cut."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def counted(count: int, thing: str) -> str:
    """Return how many things there are: ``1 trial``, ``1,200 trials``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _strict(each) for name, each in value.items()}
    return [_strict(each) for each in value] if isinstance(value, list | tuple) else value
