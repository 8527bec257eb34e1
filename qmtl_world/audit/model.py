"""Who asked for something, and why. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qmtl_foundation.errors import invalid_field

WORLD_SERVICE: Final = "world service"
MAX_REASON: Final = 200
MAX_DETAIL: Final = 1_000


@dataclass(frozen=True, slots=True)
class Cause:
    """Say who asked for something, and why; each one line."""

    actor: str = WORLD_SERVICE
    reason: str = ""


def read_cause(actor: str, reason: str) -> Cause:
    """Return who asks, as its token names it, and why; raise INVALID_FIELD for a reason that is not one line."""
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise invalid_field("reason", f"must be one line of at most {MAX_REASON} characters")
    return Cause(actor, reason)


def stating(fields: Mapping[str, object]) -> str:
    """Return what is stated, in one line: ``mode: paper, allow_live: false``; an empty text is not."""
    return _line(f"{name}: {_text(value)}" for name, value in fields.items() if value != "")


def changing(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Return how two states of a thing with the same fields differ, in one line: ``mode: paper -> live``."""
    changed = ((name, before[name], value) for name, value in after.items() if before[name] != value)
    return _line(f"{name}: {_text(was)} -> {_text(value)}" for name, was, value in changed)


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _line(told: Iterable[str]) -> str:
    line = ", ".join(told)
    return line if len(line) <= MAX_DETAIL else f"{line[: MAX_DETAIL - 1]}…"
