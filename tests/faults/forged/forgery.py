"""Plain edits of a history: a row changed, taken out, put in, or moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.faults.history.facts import History

Forge = Callable[[History], History]
Pick = Callable[[Any], bool]


def having(**fields: Any) -> Pick:
    """Pick rows with these fields; of a change, those of the row after it."""

    def pick(row: Any) -> bool:
        row = getattr(row, "after", row)
        return row is not None and all(getattr(row, name) == value for name, value in fields.items())

    return pick


def edit(part: str, pick: Pick, **changes: Any) -> Forge:
    """Change fields of the rows that are picked."""
    return _over(part, lambda rows: [replace(each, **changes) if pick(each) else each for each in rows], pick)


def edit_after(part: str, pick: Pick, **changes: Any) -> Forge:
    """Change fields of the row behind each recorded change that is picked."""

    def over(rows: list[Any]) -> list[Any]:
        return [replace(each, after=replace(each.after, **changes)) if pick(each) else each for each in rows]

    return _over(part, over, pick)


def drop(part: str, pick: Pick) -> Forge:
    """Take out the rows that are picked."""
    return _over(part, lambda rows: [each for each in rows if not pick(each)], pick)


def again(part: str, pick: Pick, **changes: Any) -> Forge:
    """Put another row right behind each that is picked, like it but for changes."""

    def over(rows: list[Any]) -> list[Any]:
        return [row for each in rows for row in ([each, replace(each, **changes)] if pick(each) else [each])]

    return _over(part, over, pick)


def swap(part: str, one: Pick, other: Pick) -> Forge:
    """Let the first rows that are picked change their places."""

    def over(rows: list[Any]) -> list[Any]:
        first, second = (next(index for index, row in enumerate(rows) if pick(row)) for pick in (one, other))
        rows[first], rows[second] = rows[second], rows[first]
        return rows

    return _over(part, over, one)


def state(**changes: Any) -> Forge:
    """Change what the history says as a whole."""
    return lambda history: replace(history, **changes)


def all_of(*forges: Forge) -> Forge:
    """Do one edit after the other."""

    def forge(history: History) -> History:
        for each in forges:
            history = each(history)
        return history

    return forge


def _over(part: str, change: Callable[[list[Any]], list[Any]], pick: Pick) -> Forge:
    """Edit the rows of a part, by name or as ``changes.name``; fail where none is picked."""

    def forge(history: History) -> History:
        outer, _, name = part.rpartition(".")
        holder: Any = history.changes if outer else history
        rows = list(getattr(holder, name))
        assert any(map(pick, rows)), f"nothing of {part} is picked"
        edited = replace(holder, **{name: tuple(change(rows))})
        return replace(history, changes=edited) if outer else edited

    return forge
