"""The journal of one strategy's intents: each is on disk before it is sent for the first time.

So a runner that was killed, or whose send ended unclear, repeats it under the same id with the same content, and an
executor takes it once. SQLite, one file for a strategy in a world, held by one process at a time. An answer is written
with the next intents: should it be lost, the intent is sent again, which changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.session.model import Outcome, Report, Wish

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS intent (
    intent_id TEXT PRIMARY KEY,
    symbol TEXT NOT NULL,
    bar_time INTEGER NOT NULL,
    target REAL NOT NULL,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_symbol ON intent (symbol, bar_time);
CREATE TABLE IF NOT EXISTS reports (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL) STRICT;
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PRIMARY_CODE: Final = 0xFF  # of SQLite's error codes; above are details
_ASKED_AT_ONCE: Final = 500  # of SQLite's bound parameters


class State(StrEnum):
    """Say how far an intent came; the executor's outcomes, and what comes before them."""

    WRITTEN = "written"  # perhaps sent: not known to be stored
    ACCEPTED = "accepted"  # stored in the order stream
    WORKING = Outcome.WORKING.value
    FILLED = Outcome.FILLED.value
    UNCHANGED = Outcome.UNCHANGED.value
    FENCED = Outcome.FENCED.value
    REFUSED = Outcome.REFUSED.value
    CANCELLED = Outcome.CANCELLED.value


# The executor has the target, or will have it: it need not be said again.
STANDING: Final = (State.ACCEPTED, State.WORKING, State.FILLED, State.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one intent of the journal, with the epoch under which it was sent last."""

    wish: Wish
    epoch: int
    state: State


class IntentJournal:
    """Keep intents in one file. Not for use by several threads."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, path: Path) -> IntentJournal:
        """Open or begin the journal of a file, and keep every other process out of it.

        Raises QmtlError: FOREIGN_INCARNATION while another process has it, DATA_INVALID for what is no journal,
        NOT_CONFIGURED where no file can be written.
        """
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=0.0)
            try:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # a commit returns when it is on the disk
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            except BaseException:
                connection.close()
                raise
            return cls(connection, path)

    def __enter__(self) -> IntentJournal:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what is not written yet, and let others have the file."""
        with _translated(self._path):
            self._connection.commit()
            self._connection.close()

    # ---- What there is

    def find(self, ids: Sequence[str]) -> Mapping[str, Entry]:
        """Return the entries of some intents by id; those that there are."""
        found: dict[str, Entry] = {}
        with _translated(self._path):
            for start in range(0, len(ids), _ASKED_AT_ONCE):
                some = ids[start : start + _ASKED_AT_ONCE]
                query = f"SELECT * FROM intent WHERE intent_id IN ({','.join('?' * len(some))})"  # noqa: S608  # marks
                found |= {row[0]: _entry(row) for row in self._connection.execute(query, some)}
        return found

    def standing(self, symbol: str, epoch: int) -> float | None:
        """Return the newest target of a symbol that an executor has, or will have, under an epoch; None for none."""
        query = (
            f"SELECT target FROM intent WHERE symbol = ? AND epoch = ? AND state IN ({','.join('?' * len(STANDING))}) "  # noqa: S608  # marks
            "ORDER BY bar_time DESC LIMIT 1"
        )
        with _translated(self._path):
            row = self._connection.execute(query, (symbol, epoch, *STANDING)).fetchone()
        return None if row is None else float(row[0])

    def newest_bar(self, symbol: str | None = None) -> datetime | None:
        """Return the newest bar of which an intent for a symbol, or for any, was written; None for none."""
        query, chosen = "SELECT max(bar_time) FROM intent", () if symbol is None else (symbol,)
        with _translated(self._path):
            row = self._connection.execute(f"{query} WHERE symbol = ?" if chosen else query, chosen).fetchone()
        return None if row[0] is None else _moment(row[0])

    def count(self, *states: State) -> int:
        """Return how many intents stand at any of some states; of none stated, all there are."""
        chosen = states or tuple(State)
        query = f"SELECT count(*) FROM intent WHERE state IN ({','.join('?' * len(chosen))})"  # noqa: S608  # marks
        with _translated(self._path):
            row = self._connection.execute(query, chosen).fetchone()
        return int(row[0])

    def report_position(self) -> int | None:
        """Return the place behind which no report was noted, None while nothing was sent."""
        with _translated(self._path):
            row = self._connection.execute("SELECT position FROM reports").fetchone()
        return None if row is None else int(row[0])

    # ---- What happens

    def write(self, wishes: Iterable[Wish], epoch: int, report_position: int = 0) -> None:
        """Put intents on disk that are about to be sent under an epoch, whether or not they were before.

        With the first goes the place behind which their reports will stand.
        """
        rows = [(each.intent_id, each.symbol, _micros(each.bar_time), each.target, epoch) for each in wishes]
        with _translated(self._path):
            self._connection.executemany(
                "INSERT INTO intent VALUES (?, ?, ?, ?, ?, 'written') "
                "ON CONFLICT (intent_id) DO UPDATE SET epoch = excluded.epoch, state = 'written'",
                rows,
            )
            self._connection.execute("INSERT INTO reports VALUES (1, ?) ON CONFLICT DO NOTHING", (report_position,))
            self._connection.commit()

    def reports_begin(self, position: int) -> None:
        """Go back to a place behind which reports will stand, where the one noted is of a stream that is gone."""
        with _translated(self._path):
            self._connection.execute("UPDATE reports SET position = min(position, ?)", (position,))
            self._connection.commit()

    def accepted(self, ids: Iterable[str]) -> None:
        """Note that intents are stored in the order stream; a report that was faster says more."""
        with _translated(self._path):
            self._connection.executemany(
                "UPDATE intent SET state = 'accepted' WHERE intent_id = ? AND state = 'written'",
                [(each,) for each in ids],
            )

    def refused(self, wish_id: str) -> None:
        """Note that an intent was refused for good."""
        with _translated(self._path):
            self._connection.execute("UPDATE intent SET state = 'refused' WHERE intent_id = ?", (wish_id,))

    def reported(self, report: Report) -> bool:
        """Note what came of an intent, and the report's place; return whether it changed something.

        That an intent was fenced under an epoch before the one of its last sending says nothing of that. What else
        came of it came of the epoch that the report names: a target executed under an older one does not stand now.
        """
        fenced = report.outcome is Outcome.FENCED
        with _translated(self._path):
            changed = self._connection.execute(
                "UPDATE intent SET state = ?, epoch = ? WHERE intent_id = ? AND (state != ? OR epoch != ?) "
                "AND (epoch = ? OR NOT ?)",
                (
                    report.outcome.value,
                    report.epoch,
                    report.intent_id,
                    report.outcome.value,
                    report.epoch,
                    report.epoch,
                    fenced,
                ),
            )
            self._connection.execute(
                "INSERT INTO reports VALUES (1, ?) "
                "ON CONFLICT (one) DO UPDATE SET position = max(position, excluded.position)",
                (report.position,),
            )
        return changed.rowcount > 0


def _entry(row: tuple[str, str, int, float, int, str]) -> Entry:
    intent_id, symbol, bar_time, target, epoch, state = row
    return Entry(Wish(intent_id, symbol, _moment(bar_time), target), epoch, State(state))


def _moment(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY:
            raise QmtlError(
                Reason.FOREIGN_INCARNATION,
                f"another process runs this strategy with the journal {path}; stop that one first",
                metadata={"participant": path.stem, "incarnation": ""},
            ) from error
        raise _unusable(path, error) from error
    except sqlite3.DatabaseError as error:
        raise QmtlError(
            Reason.DATA_INVALID,
            f"{path} is no journal of intents ({error}); move it away, and executors go on to take each intent once",
            metadata={"path": str(path)},
        ) from error
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> QmtlError:
    return QmtlError(
        Reason.NOT_CONFIGURED,
        f"the journal of intents cannot be kept in {path}: {error}",
        metadata={"path": str(path)},
    )
