"""What the runners know of their intents, by their own journals, against what the streams and the executor have.

That is the senders' view: what was accepted must stand in the order stream, and what was reported as executed must have
been.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.faults.checks.violation import Violation
from tests.faults.history.facts import History

SENDER: Final = "sender"  # in place of an invariant's name
STORED: Final = frozenset({"accepted", "working", "filled", "unchanged", "fenced", "cancelled"})
EXECUTED: Final = frozenset({"filled", "unchanged"})


def check_senders(history: History, journals: Path) -> Iterator[Violation]:
    """Compare the journals below a folder with the history of their world; nobody may have them open."""
    stored = {each.intent_id for each in history.intents}
    executed = {each.order_id for each in history.journal if each.state in EXECUTED}
    for file in sorted((journals / history.world).rglob("*.db")):
        for intent_id, state in _states(file):
            if state in STORED and intent_id not in stored:
                yield Violation(SENDER, f"{file.stem} was told that {intent_id} is {state}; it is not in the stream")
            if state in EXECUTED and intent_id not in executed:
                yield Violation(SENDER, f"{file.stem} was told that {intent_id} is {state}; it was not executed")


def _states(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as journal:
        return list(journal.execute("SELECT intent_id, state FROM intent"))
